// Recognizes a protected value at a place of a body, in whichever spelling.

import { CharacterReader } from './characters.ts'
import { cutOff, isOfKeys, type KeyReader } from './key-reader.ts'
import { Base64Reader, NumberReader } from './packed.ts'
import { keyPrefix, type Dictionary } from './protected-values.ts'

export interface SpelledKey {
  /** Characters of the value. */
  readonly length: number
  /** Behind its last character, bytes. */
  readonly end: number
}

const prefixCodes = Buffer.from(keyPrefix)
/** The characters that were read last, and where each of them ended. */
let codes = Buffer.alloc(512)
let ends = new Int32Array(512)

/**
 * The longest protected value that is spelled from this byte on; null for none. `unfinished`: the data ends, and with what follows it may
 * be one, or a longer one; never when `complete`, which says that nothing follows.
 */
export function spelledKey(
  data: Buffer,
  at: number,
  dictionary: Dictionary,
  complete: boolean,
): SpelledKey | 'unfinished' | null {
  if (isForeignText(data, at, dictionary)) return null
  const reader = readerAt(data, at)
  if (reader === null) return null
  const { longest } = dictionary
  if (codes.length < longest) makeRoom(longest)
  let length = 0
  let code = 0
  for (; length < longest; length += 1) {
    code = reader.next()
    if (code < 0 || (length < keyPrefix.length && code !== prefixCodes[length])) break
    codes[length] = code
    ends[length] = reader.at
    if (length + 1 === 2 * keyPrefix.length && dictionary.isForeign(codes, 0)) return null
  }
  const isCutOff = code === cutOff && !complete
  if (length < keyPrefix.length) return isCutOff ? 'unfinished' : null
  const text = codes.toString('latin1', 0, length)
  if (isCutOff && dictionary.mayContinue(text)) return 'unfinished'
  const found = dictionary.match(text)
  return found === 0 ? null : { length: found, end: ends[found - 1] ?? at }
}

/** Masks a key that was found at this place in `bytes`, a copy of the data. */
export function maskKey(data: Buffer, at: number, { length }: SpelledKey, bytes: Buffer): void {
  const reader = readerAt(data, at)
  for (let index = 0; index < length; index += 1) {
    reader?.next()
    if (index >= keyPrefix.length) reader?.mask(bytes)
  }
}

/** Text that begins like a key, as it is, and not like one of ours: told at once, because an answer may be full of it. */
function isForeignText(data: Buffer, at: number, dictionary: Dictionary): boolean {
  if (data.length < at + 2 * keyPrefix.length) return false
  for (let index = 0; index < 2 * keyPrefix.length; index += 1)
    if (index < keyPrefix.length ? data[at + index] !== prefixCodes[index] : isOfKeys[data[at + index] ?? 0] === 0)
      return false
  return dictionary.isForeign(data, at)
}

/** Null for a byte that no spelling of a key begins with. */
function readerAt(data: Buffer, at: number): KeyReader | null {
  switch (kinds[data[at] ?? 0]) {
    case 1:
      return new CharacterReader(data, at)
    case 2:
      return Base64Reader.at(data, at)
    case 3:
      return NumberReader.at(data, at)
    default:
      return null
  }
}

const kinds = new Uint8Array(256)
for (const [index, beginnings] of ['c\\%&', 'YNj', '69'].entries())
  for (const byte of Buffer.from(beginnings)) kinds[byte] = index + 1

function makeRoom(longest: number): void {
  codes = Buffer.alloc(longest)
  ends = new Int32Array(longest)
}
