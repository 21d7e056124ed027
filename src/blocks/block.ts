// A block: whom it concerns, why, and until when. Also what others may have written as one: a file, the store.

export const blockKinds = ['subject', 'app', 'team', 'issuer', 'jti', 'key'] as const
export type BlockKind = (typeof blockKinds)[number]

export interface Block {
  readonly kind: BlockKind
  readonly value: string
  /** Callers are shown it. */
  readonly reason: string
  /** For operators and the audit log alone. */
  readonly note: string | null
  /** Who asked for it, as they said. */
  readonly by: string
  /** Milliseconds since the epoch, by the clock of the store where there is one. */
  readonly sinceMs: number
  /** Null: until somebody ends it. */
  readonly untilMs: number | null
}

/** Characters of a value, and of a reason or a note. */
export const longestValue = 2_048
export const longestText = 500

/** One name for each pair of kind and value. Kinds hold no space. */
export function slotOf(kind: BlockKind, value: string): string {
  return `${kind} ${value}`
}

/** The block as JSON. */
export function writeBlock({ kind, value, reason, note, by, sinceMs, untilMs }: Block): string {
  return JSON.stringify({ kind, value, reason, note, by, since: sinceMs, until: untilMs })
}

/** The block that a value describes; null for anything else. */
export function readBlock(found: unknown): Block | null {
  if (typeof found !== 'object' || found === null) return null
  const { kind, value, reason, note, by, since, until } = found as Readonly<Record<string, unknown>>
  const known = blockKinds.find((each) => each === kind)
  if (known === undefined || !isText(value) || !isText(reason) || !isText(by)) return null
  if (!(note === null || isText(note)) || !isTime(since) || !(until === null || isTime(until))) return null
  return { kind: known, value, reason, note, by, sinceMs: since, untilMs: until }
}

/** The block that a text describes as JSON; null for anything else. */
export function parseBlock(text: string): Block | null {
  try {
    return readBlock(JSON.parse(text))
  } catch {
    return null
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && Math.abs(value) < 8.64e15
}

/** What blocked callers are told: who is blocked, until when, why, and whom to ask. */
export function blockedText(who: string, reason: string, untilMs: number | null): string {
  const until = untilMs === null ? '' : ` until ${new Date(untilMs).toISOString()}`
  return `The operators of the gateway have blocked ${who}${until}: ${reason.replace(/[.\s]+$/, '')}. Ask them before you try again.`
}
