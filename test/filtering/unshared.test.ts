// What a field says that does not cross is not lost in a filter: a filtered answer may be kept only where each of the upstream's
// answers in it may.

import { describe, expect, it } from 'vitest'
import type { ResponseHead, ResponseSink } from '../../src/cache/response-stream.ts'
import type { AnswerShape } from '../../src/catalogue/operation.ts'
import { filterList } from '../../src/filtering/list.ts'
import { FilteredObject } from '../../src/filtering/object.ts'
import { Problem } from '../../src/problems.ts'
import { collect, type Collected } from './collected.ts'

const paging = {
  size: 'first',
  usual: 2,
  most: 2,
  after: 'after',
  cursor: 'end_cursor',
  more: 'has_next_page',
  total: 'total',
}
const list: AnswerShape = { form: 'page', items: 'items', organizations: ['org_id'], optional: false, id: 'id', paging }
const object: AnswerShape = { ...list, form: 'object', items: null, paging: null }
const selection = { organizations: new Set(['a']), drop: [] }
const refusal = (why: string): Problem => new Problem('upstream-answer-refused', why)

type Said = Partial<Pick<ResponseHead, 'unshared'>> & { readonly cacheControl?: string; readonly items?: string }

function answer(sink: ResponseSink, { unshared = null, cacheControl = 'max-age=9' }: Said, body: string): void {
  sink.attach({ resume: () => undefined, abort: () => undefined })
  const fields = ['content-type', 'application/json', 'cache-control', cacheControl]
  sink.head({ status: 200, fields, length: body.length, unshared })
  sink.end(Buffer.from(body))
}

/** Two items of which one is foreign, so that a page of two takes several of the upstream's. */
function pages(...said: readonly Said[]): Collected {
  const sink = collect()
  let page = 0
  const fetch = (_at: unknown, to: ResponseSink): void => {
    const mine = said[page] ?? {}
    page += 1
    const items = mine.items ?? `{"id":"m${page}","org_id":"a"},{"id":"f${page}","org_id":"b"}`
    answer(to, mine, `{"items":[${items}],"has_next_page":${page < said.length},"end_cursor":"c${page}"}`)
  }
  const start = { after: null, size: 2, skip: 0, last: null }
  const request = { shape: list, selection, fetch, refusal, monotonic: () => 0 }
  filterList({ ...request, page: { size: 9, start, isNarrowed: false, seal: () => 'sealed' } }, sink)
  return sink
}

describe('a filtered list', () => {
  it.each<[string, readonly Said[], string | null]>([
    ['all may be kept', [{}, {}, {}], null],
    ['the first may not', [{ unshared: 'cookie' }, {}], 'cookie'],
    ['the last may not', [{}, {}, { unshared: 'cookie' }], 'cookie'],
    ['one says otherwise than the first', [{}, { cacheControl: 'no-store' }], 'partial'],
    [
      'it grows large before its end',
      [{ items: `{"id":"m","org_id":"a","text":"${'x'.repeat(600_000)}"}` }, {}],
      'too-large',
    ],
  ])('of which %s', (_name, said, unshared) => {
    const { head_, isOver } = pages(...said)
    expect([isOver, head_?.unshared ?? null]).toEqual([true, unshared])
  })
})

describe('a filtered object', () => {
  it.each([null, 'cookie'])('that says %s', (unshared) => {
    const sink = collect()
    const outside = (): Problem => refusal('outside')
    answer(
      new FilteredObject({ shape: object, selection, outside, refusal }, sink),
      { unshared },
      '{"id":"m","org_id":"a"}',
    )
    expect(sink.head_?.unshared ?? null).toBe(unshared)
  })
})
