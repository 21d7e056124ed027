// Holds the audit log of Devin against the writes that passed through the gateway. What is in the one and not in the other was done
// with a copy of a key. Pure.

/** A write that was sent for a caller, whether or not Devin has answered it. Times are milliseconds since the epoch. */
export interface OwnUse {
  /** Tells it from all others, of all instances. */
  readonly id: string
  readonly key: string
  readonly operation: string
  /** Null where the request named none. */
  readonly organization: string | null
  readonly fromMs: number
  readonly toMs: number
}

/** A line of the audit log that a service user has left. */
export interface AuditLine {
  readonly id: string
  readonly serviceUser: string
  readonly action: string
  readonly organization: string | null
  readonly atMs: number
  /** Where the log tells it. */
  readonly address: string | null
  /** The session that it is about, where the log tells it. */
  readonly session: string | null
}

/** How far Devin's clock and ours may differ; the log tells whole seconds. */
export const skewMs = 120_000

/**
 * The lines that no own use explains. Each use explains one line at most, of its operation, organization and time. Lines may come
 * twice, in any order; those with an action that is not known are left out. `uses`: of all keys of the service user.
 */
export function foreignLines(
  lines: readonly AuditLine[],
  uses: readonly OwnUse[],
  operationsOf: ReadonlyMap<string, ReadonlySet<string>>,
): readonly AuditLine[] {
  const distinct = new Map(lines.map((line) => [line.id, line]))
  // Lines by time, and for each the use that ends first: no other choice explains more of them.
  const sorted = [...distinct.values()].toSorted((a, b) => a.atMs - b.atMs)
  const byEnd = uses.toSorted((a, b) => a.toMs - b.toMs)
  const spent = new Set<OwnUse>()
  let oldest = 0
  return sorted.filter((line) => {
    const operations = operationsOf.get(line.action)
    if (operations === undefined) return false
    while (oldest < byEnd.length && (byEnd[oldest]?.toMs ?? 0) + skewMs < line.atMs) oldest += 1
    for (let index = oldest; index < byEnd.length; index += 1) {
      const use = byEnd[index]
      if (use === undefined || spent.has(use) || !operations.has(use.operation)) continue
      if (line.atMs < use.fromMs - skewMs || line.atMs > use.toMs + skewMs) continue
      if (line.organization !== null && use.organization !== null && line.organization !== use.organization) continue
      spent.add(use)
      return false
    }
    return true
  })
}
