// What requests are refused with that are blocked, or whose key is.

import { Problem } from '../problems.ts'
import { blockedText, type Block } from './block.ts'

export function callerBlocked({ kind, value, reason, sinceMs, untilMs }: Block): Problem {
  const who = kind === 'jti' ? 'this token' : `the ${kind} ${value}`
  const [since, until] = [sinceMs, untilMs].map((ms) => (ms === null ? null : new Date(ms).toISOString()))
  return new Problem('blocked', blockedText(who, reason, untilMs), {
    members: { blocked: { kind, reason, since, until } },
  })
}

/** `block`: null for one that has just ended. */
export function keyBlocked(id: string, block: Block | null): Problem {
  const text = blockedText(`the key ${id}`, block?.reason ?? 'it was blocked', block?.untilMs ?? null)
  return new Problem('key-unavailable', `${text} No stronger key takes its place.`, { reason: 'key-blocked' })
}
