// Cursors of filtered lists: they come back as they were sealed, for the same list alone, and tell nothing.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cursorBinding, openCursor, sealCursor, type PagePosition } from '../../src/filtering/paging/cursor.ts'

const key = Buffer.alloc(32, 1)
const binding = cursorBinding('ent.sessions.list', '/v3/enterprise/sessions', '', 'digest')
const dayMs = 86_400_000
const nowMs = 20_000 * dayMs + 1
const place: PagePosition = { after: 'devin-of-another-organization', size: 200, skip: 17, last: 'devin-1' }

describe('a cursor', () => {
  test('gives its position back', () => {
    const text = fc.option(fc.string({ unit: 'binary', maxLength: 300 }))
    fc.assert(
      fc.property(text, fc.nat(), fc.nat(), text, (after, size, skip, last) => {
        const position = { after, size, skip, last }
        expect(openCursor(key, binding, sealCursor(key, binding, position, nowMs), nowMs)).toEqual(position)
      }),
    )
  })

  test('is nothing with another key, for another list, or changed in any letter', () => {
    const cursor = sealCursor(key, binding, place, nowMs)
    expect(openCursor(Buffer.alloc(32, 2), binding, cursor, nowMs)).toBeNull()
    expect(
      openCursor(key, cursorBinding('ent.sessions.list', '/v3/enterprise/sessions', '', 'other'), cursor, nowMs),
    ).toBeNull()
    for (let at = 0; at < cursor.length; at += 1) {
      const letter = cursor[at] === 'A' ? 'B' : 'A'
      expect(openCursor(key, binding, cursor.slice(0, at) + letter + cursor.slice(at + 1), nowMs)).toBeNull()
    }
    for (const spelled of [
      `${cursor}=`,
      `${cursor} `,
      ` ${cursor}`,
      cursor.slice(1),
      cursor.slice(0, -1),
      `${cursor}AAAA`,
    ])
      expect(openCursor(key, binding, spelled, nowMs)).toBeNull()
  })

  test('of anything else is nothing', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => openCursor(key, binding, text, nowMs) === null))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(openCursor(key, binding, Buffer.from(bytes).toString('base64url'), nowMs)).toBeNull()
      }),
    )
  })

  test('is good for a day at least and two at most', () => {
    const cursor = sealCursor(key, binding, place, nowMs)
    expect(openCursor(key, binding, cursor, nowMs + dayMs)).toEqual(place)
    expect(openCursor(key, binding, cursor, nowMs + 2 * dayMs)).toBeNull()
    expect(openCursor(key, binding, cursor, nowMs - dayMs)).toBeNull()
  })

  test('tells nothing of the place: not its text, its length, nor whether it is the same as before', () => {
    const cursor = sealCursor(key, binding, place, nowMs)
    expect(Buffer.from(cursor, 'base64url').toString('latin1')).not.toContain('devin')
    expect(sealCursor(key, binding, place, nowMs)).not.toBe(cursor)
    expect(sealCursor(key, binding, { ...place, skip: 4, last: 'devin-12345' }, nowMs)).toHaveLength(cursor.length)
  })
})

test('bindings of different parts differ, however the parts are cut', () => {
  expect(cursorBinding('ab', 'c')).not.toEqual(cursorBinding('a', 'bc'))
})
