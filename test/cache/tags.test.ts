import { describe, expect, it } from 'vitest'
import { operationTag, organizationTag, pathTag, resourceTag } from '../../src/cache/invalidation/tags.ts'

describe('tags', () => {
  it('a session id with and without `devin-` is one, escaped or not', () => {
    for (const id of ['devin-abc', 'abc', 'devin%2Dabc', '%61bc']) expect(resourceTag(id)).toBe('resource:abc')
    expect(resourceTag('devin-abd')).not.toBe(resourceTag('abc'))
    expect(resourceTag('%zz')).toBe('resource:%zz')
    expect(pathTag('/sessions/devin-abc/messages?after=x')).toBe(pathTag('/sessions/abc/messages'))
  })

  it('of different kinds differ, and none is a path', () => {
    const tags = [
      resourceTag('x'),
      organizationTag('x'),
      organizationTag(null),
      operationTag('x', null),
      operationTag('x', 'y'),
      resourceTag('/x'),
    ]
    expect(new Set(tags).size).toBe(tags.length)
    expect(tags.some((tag) => tag.startsWith('/'))).toBe(false)
  })
})
