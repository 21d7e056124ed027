// The RateLimit and RateLimit-Policy fields of draft-ietf-httpapi-ratelimit-headers, as Structured Fields (RFC 9651).

import type { Limit, LimitStatus, Quota } from './limiter.ts'

const calendarSeconds = { day: 86_400, week: 604_800, month: null } as const

/** By list: the lists of a team are made once. */
const policies = new WeakMap<readonly Limit[], string>()

/** `RateLimit-Policy`: what applies, the same for every request under the same limits. */
export function policyField(limits: readonly Limit[]): string {
  const known = policies.get(limits)
  if (known !== undefined) return known
  const field = writePolicy(limits)
  policies.set(limits, field)
  return field
}

function writePolicy(limits: readonly Limit[]): string {
  return limits
    .map(({ name, quota, most }) => {
      if (quota === null) return `"${name}";q=${most};qu="concurrent-requests"`
      const seconds = windowSeconds(quota)
      return `"${name}";q=${quota.burst ?? quota.amount}${seconds === null ? '' : `;w=${seconds}`}`
    })
    .join(', ')
}

/** `RateLimit`: what is left (`r`) and in how many seconds the whole amount is back (`t`). */
export function statusField(statuses: readonly LimitStatus[]): string {
  let text = ''
  for (const { limit, remaining, resetMs } of statuses) {
    text += `${text === '' ? '' : ', '}"${limit.name}";r=${remaining}`
    if (limit.quota !== null) text += `;t=${seconds(resetMs)}`
  }
  return text
}

/** Whole seconds, after which all of it is back: never fewer than it takes. */
function seconds(milliseconds: number): number {
  return Math.max(0, Math.ceil(milliseconds / 1000))
}

/**
 * Length of the quota's window in whole seconds; null for a month, which has no one length. A bucket lets its burst through
 * at once and is full again after the time in which the rate gives so much, so that is its window.
 */
function windowSeconds({ amount, perMs, calendar, burst }: Quota): number | null {
  if (calendar !== null) return calendarSeconds[calendar]
  return perMs === null ? null : Math.ceil((perMs * (burst ?? amount)) / amount / 1000)
}
