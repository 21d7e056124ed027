// Builds the idempotency service: where keys are stored, and how outages are reported.

import { randomBytes } from 'node:crypto'
import { NoRoom, type EntryStore } from '../idempotency/entry-store.ts'
import { createMemoryEntries } from '../idempotency/memory-entries.ts'
import { createIdempotencyService } from '../idempotency/idempotency-service.ts'
import { createSharedEntries } from '../idempotency/shared-entries.ts'
import { createOutageLog, type OutageLog } from '../records/outage-log.ts'
import type { Store } from '../store/store.ts'
import type { Core } from './core.ts'

/** What this instance keeps, in its memory or in the store. */
const maxBytes = 64 * 1024 * 1024
const keepMs = 24 * 3_600_000

/** `maxRunMs`: how long the upstream may take for a create. */
export function openIdempotency(core: Core, store: Store | null, maxRunMs: number) {
  const { config, instruments, log, monotonic } = core
  const entries =
    store === null ? createMemoryEntries({ monotonic, maxBytes }) : createSharedEntries({ store, monotonic, maxBytes })
  // Without a secret, sealed entries of the store are as safe as callers and keys are hard to guess.
  const secret = store === null ? randomBytes(32) : (config.store?.secret?.() ?? Buffer.alloc(32))
  const fields = { event: 'idempotency' }
  const away = createOutageLog({
    log,
    fields,
    begun: 'the store of idempotency keys cannot be used: creates with a key are refused',
    over: 'creates with an idempotency key are taken again; so many were refused',
  })
  const full = new Map<string, OutageLog>()
  const fullLog = (team: string): OutageLog =>
    createOutageLog({
      log,
      fields: { ...fields, team },
      begun: 'a team has used its share of the memory for idempotency keys: its creates with a new key are refused',
      over: 'creates of the team with a new idempotency key are taken again; so many were refused',
    })
  const idempotency = createIdempotencyService({
    store: entries,
    secret,
    keepMs,
    maxRunMs: maxRunMs + 1_000,
    onEvent: (event) => instruments.idempotencyEvent(event),
    onAsked(team, trouble) {
      if (trouble instanceof NoRoom) full.set(team, full.get(team) ?? fullLog(team))
      if (trouble instanceof NoRoom) full.get(team)?.failed(trouble)
      else if (trouble !== null) away.failed(trouble)
      else {
        away.worked()
        full.get(team)?.worked()
        full.delete(team)
      }
    },
  })
  return { idempotency, entries }
}

/** Notes for `/readyz`. */
export function fullNotes({ fullTeams }: EntryStore): string[] {
  return fullTeams.map(
    (team) =>
      `team ${team === '' ? '(none)' : team} has used its share of the memory for idempotency keys: its creates with a new key are refused until keys of the last 24 hours expire`,
  )
}
