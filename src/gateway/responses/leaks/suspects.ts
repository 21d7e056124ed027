// Where a key may begin, in any of the spellings that are found: a quick search that names too many places, and a closer look at each.

import { createByteSearch, type ByteTriple } from './byte-search.ts'
import { EscapedText, isBreak } from './characters.ts'
import { keyPrefix } from './protected-values.ts'

/**
 * Three bytes that each spelling of `cog` holds, at its beginning or at the first escape or line break in it. Groups stand together where the bytes
 * that the search cannot tell apart are seldom.
 */
const groups: readonly ByteTriple[] = [
  // As it is; UTF-16.
  ['c', 'o\0', 'go'],
  // Base64, for each of the three places where a key can begin inside four characters.
  ['YNj', '2vb', '9Z2'],
  // \u0063 and \U00000063; &#99; and &#x63;, also as &amp;#99;
  ['uU&;', '0#', '019xX'],
  // \x63, \143 and \u{63}
  ['\\u', 'x1{', '0456'],
  // %63, %2563, %0A
  ['%', '026', '357fFaAdD'],
  // A line break.
  ['coY2Nvjb', '\n\r', null],
  ['coY2Nvjb', '\\', 'nr\n\r\\'],
  // Hexadecimal, with or without something between two bytes; a list of decimal numbers.
  ['69', '39', '6 :-,'],
]

export const suspects = createByteSearch(groups)

/** The same for the value of a field, which is short. */
export const suspectText = /[\\%\0\r\n]|cog|&(?:amp;)*#|Y29|NvZ|jb2|63|99,/

/** No spelling of a key's prefix that has begun at the end is longer than this, bytes. */
export const unfinishedBytes = 64

const [backslash, percent, ampersand, semicolon] = [0x5c, 0x25, 0x26, 0x3b]
const plain = [...Buffer.from(keyPrefix)]
const anchors = [plain, ...['Y29n', 'NvZ1', 'jb2d'].map((text) => [...Buffer.from(text)])]

/** The first byte of the only key that can begin at or around a suspect; -1 for none. */
export function keyStart(data: Buffer, suspect: number): number {
  const byte = data[suspect] ?? 0
  const next = data[suspect + 1] ?? 0
  if (byte === percent || byte === backslash || byte === ampersand || byte === semicolon || (byte | 0x20) === 0x75)
    return startBefore(data, escapeStart(data, suspect))
  if (next === backslash || isBreak(next)) return anchorStart(data, suspect)
  return suspect
}

/** Where the escape begins that a suspect is part of; -1 for none. */
function escapeStart(data: Buffer, suspect: number): number {
  const byte = data[suspect]
  let at = suspect
  if (byte === percent || byte === ampersand) return at
  if (byte === semicolon) {
    while (at >= 4 && data.toString('latin1', at - 3, at + 1) === 'amp;') at -= 4
    return at < suspect && data[at] === ampersand ? at : -1
  }
  if (byte !== backslash) at -= 1
  if (data[at] !== backslash) return -1
  while (at > 0 && data[at - 1] === backslash) at -= 1
  return at
}

function startBefore(data: Buffer, escape: number): number {
  if (escape === -1) return -1
  const code = new EscapedText(data, escape).character()
  if (isBreak(code)) return anchorStart(data, escape - 1)
  const index = code < 0 ? -1 : plain.indexOf(code)
  return index > 0 ? startOf(data, escape - 1, plain, index - 1) : index === 0 ? escape : -1
}

/** The beginning of a spelling without escapes whose first characters end with this byte; -1 for none. */
function anchorStart(data: Buffer, last: number): number {
  for (const anchor of anchors) {
    for (let index = 0; index < 3; index += 1) {
      const start = anchor[index] === data[last] ? startOf(data, last, anchor, index) : -1
      if (start !== -1) return start
    }
  }
  return -1
}

/** Where the anchor begins whose character at `index` is the byte at `last`; -1 where what is before it is not the anchor's. */
function startOf(data: Buffer, last: number, anchor: readonly number[], index: number): number {
  const start = last - index
  for (let at = 0; at <= index; at += 1) if (data[start + at] !== anchor[at]) return -1
  return start
}
