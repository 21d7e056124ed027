// The entry of one idempotency key and its sealed form, bound to the name it is stored under.

import type { Sealing } from '../store/sealing.ts'

/** An answer of the upstream as it is replayed. */
export interface KeptAnswer {
  readonly status: number
  /** Name and value alternating, names in lower case. */
  readonly fields: readonly string[]
  readonly body: Buffer
}

/** The longest body that is kept; creates are answered with a kilobyte or two. What is longer passes, and is not kept. */
export const mostKeptBytes = 16 * 1024

/**
 * `running`: the request is under way, or was when its instance ended. `answered`: it was done, with this answer.
 * `unclear`: the outcome is unknown; `status` is the answer's where there was one: a failure of the upstream's own,
 * or a success whose answer could not be kept.
 */
export type IdempotencyEntry = { readonly fingerprint: string } & (
  | { readonly state: 'running' }
  | { readonly state: 'answered'; readonly answer: KeptAnswer }
  | { readonly state: 'unclear'; readonly status: number | null }
)

/** Everything of an entry but the body of an answer, which follows it byte for byte. */
type Head = { readonly fingerprint: string } & (
  | { readonly state: 'running' }
  | { readonly state: 'answered'; readonly status: number; readonly fields: readonly string[] }
  | { readonly state: 'unclear'; readonly status: number | null }
)

/** Seals an entry for the place `name`. */
export function sealEntry(sealing: Sealing, name: string, entry: IdempotencyEntry): Buffer {
  const { fingerprint } = entry
  const head: Head =
    entry.state === 'answered'
      ? { state: 'answered', fingerprint, status: entry.answer.status, fields: entry.answer.fields }
      : entry
  const text = Buffer.from(JSON.stringify(head))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  const body = entry.state === 'answered' ? entry.answer.body : Buffer.alloc(0)
  return sealing.seal(Buffer.concat([length, text, body]), name)
}

/** The entry that was sealed for the place `name`; null for anything else. */
export function openEntry(sealing: Sealing, name: string, sealed: Buffer): IdempotencyEntry | null {
  const plain = sealing.open(sealed, name)
  if (plain === null) return null
  const end = 4 + plain.readUInt32BE(0)
  // The seal proves that this file wrote it.
  const head = JSON.parse(plain.toString('utf8', 4, end)) as Head
  if (head.state !== 'answered') return head
  const { fingerprint, status, fields } = head
  return { state: 'answered', fingerprint, answer: { status, fields, body: plain.subarray(end) } }
}
