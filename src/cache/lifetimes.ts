// The operations' classes as rules: how long the answers of each may be kept.

import type { CacheClass } from '../catalogue/operation.ts'
import type { CacheRule } from './cache-request.ts'

const second = 1_000
const day = 24 * 3_600 * second

const never: CacheRule = { kind: 'never' }
const short: CacheRule = { kind: 'class', ttlMs: 30 * second, alwaysCollapsed: false }
const closedWindow: CacheRule = { kind: 'class', ttlMs: day, alwaysCollapsed: false }
const fixed: Readonly<Record<Exclude<CacheClass, 'closed-window-long'>, CacheRule>> = {
  never,
  micro: { kind: 'class', ttlMs: 2 * second, alwaysCollapsed: true },
  short,
  medium: { kind: 'class', ttlMs: 300 * second, alwaysCollapsed: false },
  long: { kind: 'class', ttlMs: 3_600 * second, alwaysCollapsed: false },
  rfc9111: { kind: 'rfc9111', heuristics: false },
  'rfc9111-heuristic': { kind: 'rfc9111', heuristics: true },
}

/** The rule for one read. `query`: without question mark. Answers about a time that is over are kept longer than others. */
export function ruleFor(lifetimeClass: CacheClass, query: string, now: () => number): CacheRule {
  if (lifetimeClass !== 'closed-window-long') return fixed[lifetimeClass]
  const endMs = windowEndMs(query)
  return endMs !== null && endMs < now() - day ? closedWindow : short
}

/** End of the window a query asks about; null when it names none, or could be read in more than one way. */
function windowEndMs(query: string): number | null {
  let end: string | null = null
  for (const pair of query.split(/[&;]/)) {
    const [name = '', value = ''] = pair.split('=', 2)
    // A name that is spelled with escapes could be this one again.
    if (name.includes('%') || name.includes('+')) return null
    if (name !== 'time_before') continue
    if (end !== null) return null
    end = value
  }
  if (end === null) return null
  if (/^\d{1,11}$/.test(end)) return Number(end) * second
  const isoMs = /^\d{4}-\d{2}-\d{2}/.test(end) ? Date.parse(end.replaceAll(/%3a/gi, ':')) : Number.NaN
  return Number.isNaN(isoMs) ? null : isoMs
}
