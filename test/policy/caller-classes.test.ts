// The callers that conditions tell apart, where these are more than can be listed: some of them, and said to be some.

import { expect, test } from 'vitest'
import { callerClasses, fulfilsAny } from '../../src/policy/cells/caller-classes.ts'
import { compileCondition } from '../../src/policy/model/condition.ts'

const everybody = (): boolean => true

test('of hundreds of entries, each with a group and a claim of its own, are not complete, and are found all the same', () => {
  const entries = Array.from({ length: 500 }, (_, index) =>
    compileCondition({ groups: [`g${index}`], claims: { [`c${index}`]: ['x'] } }),
  )
  const { classes, complete } = callerClasses(entries, (principal) => fulfilsAny(entries, principal))
  expect(complete).toBe(false)
  expect(classes.length).toBeGreaterThan(400)
})

test('that are some of all differ in every attribute', () => {
  const groups = Array.from({ length: 20 }, (_, index) => compileCondition({ groups: [`g${index}`] }))
  const others = [
    compileCondition({ app: ['bot'] }),
    compileCondition({ subject: ['ann'] }),
    compileCondition({ claims: { tier: ['gold'] } }),
  ]
  const { classes, complete } = callerClasses([...groups, ...others], everybody)
  expect(complete).toBe(false)
  const principals = classes.map(({ principal }) => principal)
  expect(principals.filter(({ app }) => app === 'bot')).not.toEqual([])
  expect(principals.filter(({ subject }) => subject === 'ann')).not.toEqual([])
  expect(principals.filter(({ claims }) => claims['tier'] !== undefined)).not.toEqual([])
})
