// The cursors of filtered lists, in place of the upstream's: encrypted, bound to one list, valid for a day or two.

import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto'

/** A place in the upstream's list. */
export interface PagePosition {
  /** The upstream's own cursor; null for the beginning. */
  readonly after: string | null
  /** Size of the upstream's page that begins there. */
  readonly size: number
  /** Items of that page that were processed. */
  readonly skip: number
  /** Id of the last of them, by which the place is found again when items came or went meanwhile. */
  readonly last: string | null
}

const saltBytes = 16
const tagBytes = 16
const dayMs = 86_400_000
/** Each cursor has a key of its own, made from a salt, so no nonce is ever used twice with one. */
const nonce = Buffer.alloc(12)
/** Lengths are rounded up to this many bytes, so that they reveal little of the upstream's cursor. */
const grain = 64

/** What a cursor is bound to: another list, query or view of it makes another binding. */
export function cursorBinding(...parts: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest()
}

/** Seals a position; no two seals of one position are alike, so equal pages tell nothing of what lies between. */
export function sealCursor(key: Buffer, binding: Buffer, position: PagePosition, nowMs: number): string {
  const { after, size, skip, last } = position
  const text = JSON.stringify([Math.floor(nowMs / dayMs), after, size, skip, last])
  const plain = Buffer.from(text)
  const padding = Buffer.alloc((grain - (plain.length % grain)) % grain, ' ')
  const salt = randomBytes(saltBytes)
  const cipher = createCipheriv('aes-256-gcm', keyOf(key, salt), nonce)
  cipher.setAAD(binding)
  const sealed = [cipher.update(plain), cipher.update(padding), cipher.final()]
  return Buffer.concat([salt, ...sealed, cipher.getAuthTag()]).toString('base64url')
}

/** The position of a cursor; null for whatever was not sealed with this key and binding today or yesterday. */
export function openCursor(key: Buffer, binding: Buffer, cursor: string, nowMs: number): PagePosition | null {
  const bytes = Buffer.from(cursor, 'base64url')
  // One spelling only: decoding passes over characters that do not belong there.
  if (bytes.length < saltBytes + grain + tagBytes || bytes.toString('base64url') !== cursor) return null
  const decipher = createDecipheriv('aes-256-gcm', keyOf(key, bytes.subarray(0, saltBytes)), nonce)
  decipher.setAAD(binding)
  decipher.setAuthTag(bytes.subarray(-tagBytes))
  try {
    const plain = Buffer.concat([decipher.update(bytes.subarray(saltBytes, -tagBytes)), decipher.final()])
    // It is authentic, so it is what sealCursor wrote.
    const [day, after, size, skip, last] = JSON.parse(plain.toString()) as [
      number,
      string | null,
      number,
      number,
      string | null,
    ]
    const age = Math.floor(nowMs / dayMs) - day
    return age === 0 || age === 1 ? { after, size, skip, last } : null
  } catch {
    return null
  }
}

function keyOf(key: Buffer, salt: Buffer): Buffer {
  return createHmac('sha256', key).update(salt).digest()
}
