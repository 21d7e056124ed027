// What is measured only when somebody asks for the metrics.

import type { GroupView } from '../../cache/shared/group-view.ts'
import type { KeyReport } from '../keys/key-report.ts'
import type { OperatorsParts } from './parts.ts'

export function measureAtScrape(parts: OperatorsParts, report: KeyReport, group: () => GroupView | null): void {
  const { core, shares, upstream, app, overload, identities, lifecycle } = parts
  const { checkpoints, instruments, keyring, sinks, tokens } = core
  const { cache, keys, showBudgets, store } = shares
  instruments.beforeScrape(async () => {
    instruments.draining(lifecycle.draining)
    instruments.connections(app.connections)
    instruments.waitingConnections(app.waitingConnections)
    instruments.sentAhead(app.sentAhead)
    instruments.overload(overload.level, overload.refused)
    instruments.waiting(upstream.waiting)
    instruments.keyStates(
      keyring.status().map(({ handle, state, valueAgeMs, sourceFault }) => ({
        key: handle.id,
        state,
        expiresAtMs: handle.expiresAtMs,
        valueAgeMs,
        isSourceFailing: sourceFault !== null,
        answeredAtMs: identities.statusOf(handle.id).answeredAtMs,
        endsAtMs: identities.statusOf(handle.id).endsAtMs,
      })),
    )
    instruments.keyFindings(report.findings())
    instruments.issuers(tokens.status())
    for (const { stream, lost } of sinks.health()) instruments.recordsLost(stream, lost)
    instruments.checkpoints(checkpoints?.status()?.places ?? [])
    instruments.cache(cache.stats())
    if (store !== null) instruments.store(store.state)
    const shown = group()
    if (shown !== null) instruments.cacheGroup(shown)
    instruments.idempotencyBytes(store === null ? keys.bytes : 0)
    instruments.budgets(await showBudgets())
  })
}
