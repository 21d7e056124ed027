// Names in a document that could be taken for those that count, and how many of them are looked at.

import { expect, test } from 'vitest'
import { misspelledIn, nameTree } from '../../src/policy/model/name-tree.ts'
import { checkedBodyOf } from '../../src/policy/decision/checked-body.ts'

const tree = nameTree(['tags', 'repos.*.first_name'])

const documentOf = (count: number, name: string): object =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${name}${String(index).padStart(4, '0')}`, 1]))

const found = (document: unknown) => misspelledIn(checkedBodyOf(document).value, tree)

test.each<[string, unknown, string | null]>([
  ['another case', { Tags: [] }, 'Tags'],
  ['in an item', { repos: [{ first_name: 'a' }, { firstName: 'b' }] }, 'firstName'],
  ['where nothing counts', { other: { Tags: [] } }, null],
])('a misspelling is found: %s', (_name, document, spelled) => {
  expect(found(document)?.spelled ?? null).toBe(spelled)
})

test.each<[string, string]>([
  ['small letters', 'n'.repeat(124)],
  ['capitals', 'N'.repeat(124)],
  ['separators', '_'.repeat(124)],
])('names of %s pass up to 262,144 characters, and the one beyond them is refused', (_name, name) => {
  expect(found(documentOf(2048, name))).toBe(null)
  expect(found({ ...documentOf(2048, name), other: 1 })).toEqual({ spelled: 'other', name: 'tags', holder: '' })
  // Names behind what does not count are not looked at.
  expect(found({ ...documentOf(2000, name), other: documentOf(2000, name) })).toBe(null)
})

test.each([['.1'], [':a'], ['/n']])('names of steps (%s) pass up to half as many', (step) => {
  expect(found(documentOf(1024, step.repeat(62)))).toBe(null)
  expect(found({ ...documentOf(1024, step.repeat(62)), other: 1 })?.spelled).toBe('other')
})

test('names outside ASCII pass up to so many characters less', () => {
  expect(found(documentOf(256, 'ж'.repeat(60)))).toBe(null)
  expect(found(documentOf(257, 'ж'.repeat(60)))?.name).toBe('tags')
})
