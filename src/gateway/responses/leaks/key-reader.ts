// What all readers of spelled keys have in common.

/** In place of a character: none of a key follows. */
export const ended = -1
/** In place of a character: the data ends, and a character may follow in the next piece. */
export const cutOff = -2

/** Reads a key in one spelling, one character after the other. */
export interface KeyReader {
  /** The code of the next character of a key, or `ended`, or `cutOff`. */
  next(): number
  /** Behind the last character, bytes from the beginning of the data. */
  readonly at: number
  /** Masks the last character in `bytes`, which are those that it reads or a copy: as many bytes as before, still of the same spelling. */
  mask(bytes: Buffer): void
}

/** 1 for each byte that a key may hold. */
export const isOfKeys = new Uint8Array(256)
for (const byte of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=-'))
  isOfKeys[byte] = 1

/** The code itself where it is one of a key's characters, or no code at all; else `ended`. */
export function keyCharacter(code: number): number {
  return code < 0 || isOfKeys[code] === 1 ? code : ended
}

const hexDigits = new Int8Array(256).fill(-1)
for (const [value, digit] of [...'0123456789abcdef'].entries())
  for (const code of Buffer.from(digit + digit.toUpperCase())) hexDigits[code] = value

/** The value of a hexadecimal digit; -1 for any other byte, `cutOff` behind the end. */
export function hexDigit(data: Buffer, at: number): number {
  return at < data.length ? (hexDigits[data[at] ?? 0] ?? ended) : cutOff
}
