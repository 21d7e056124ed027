// Sealed values: open for whoever has the key, under the context they were sealed for, unchanged; and for nobody else.

import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSealing } from '../../src/store/sealing.ts'

const secret = randomBytes(32)
const sealing = createSealing(secret, 'tests')

describe('a sealed value', () => {
  it('opens as it was for every holder of the key', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (bytes, context) => {
        const sealed = sealing.seal(Buffer.from(bytes), context)
        expect(createSealing(secret, 'tests').open(sealed, context)).toEqual(Buffer.from(bytes))
      }),
    )
  })

  it('does not open after a change of any bit, cut short, or with something behind it', () => {
    const sealed = sealing.seal(Buffer.from('an answer'), 'a')
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed.writeUInt8((changed[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3)
      expect(sealing.open(changed, 'a'), `bit ${bit}`).toBeNull()
    }
    for (let length = 0; length < sealed.length; length++)
      expect(sealing.open(sealed.subarray(0, length), 'a')).toBeNull()
    expect(sealing.open(Buffer.concat([sealed, Buffer.of(0)]), 'a')).toBeNull()
  })

  it('does not open under another context, purpose or key', () => {
    const sealed = sealing.seal(Buffer.from('an answer'), 'a')
    expect(sealing.open(sealed, 'b')).toBeNull()
    expect(createSealing(secret, 'other').open(sealed, 'a')).toBeNull()
    expect(createSealing(randomBytes(32), 'tests').open(sealed, 'a')).toBeNull()
  })

  it('shows nothing of what is in it, and is another one each time', () => {
    const [one, two] = [sealing.seal(Buffer.from('prompt'), 'a'), sealing.seal(Buffer.from('prompt'), 'a')]
    expect(one.includes('prompt')).toBe(false)
    expect(one.equals(two)).toBe(false)
  })
})

describe('a sealed name', () => {
  it('is the same for the same parts alone, and nobody without the key can form it', () => {
    expect(sealing.name('ann', 'key-1')).toMatch(/^[\w-]{43}$/)
    expect(createSealing(secret, 'tests').name('ann', 'key-1')).toBe(sealing.name('ann', 'key-1'))
    expect(sealing.name('ann', 'key-1')).not.toBe(sealing.name('ann key-1'))
    expect(sealing.name('a', 'b", "c')).not.toBe(sealing.name('a', 'b', 'c'))
    expect(createSealing(randomBytes(32), 'tests').name('ann', 'key-1')).not.toBe(sealing.name('ann', 'key-1'))
  })
})

it('takes no secret that could be guessed', () => {
  expect(() => createSealing(Buffer.from('short'), 'tests')).toThrow(/32 bytes/)
})
