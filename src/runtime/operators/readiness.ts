// Whether the instance is ready, and what is not as it should be.

import type { Readiness } from '../../admin/app.ts'
import { groupNote } from '../../cache/shared/group-view.ts'
import { checkpointNotes } from '../audit/checkpoints.ts'
import { fullNotes } from '../idempotency.ts'
import {
  clockNote,
  keySourceNote,
  noValuesReason,
  overloadNote,
  refusalNote,
  shadowNote,
  staleKeysNote,
  unwritableNotes,
} from './notes.ts'
import type { OperatorsParts } from './parts.ts'

/** `changedFiles`: files that are read at the start only and have changed since, as sentences. */
export function createReadiness(parts: OperatorsParts, changedFiles: () => readonly string[]): () => Readiness {
  const { core, shares, certificates, overload, blocks, identities, copies, rotations, lifecycle } = parts
  const { checkpoints, config, keyring, log, policies, shadow, sinks, tokens } = core
  const { keys, store } = shares
  return () => {
    const reasons = [
      ...(lifecycle.draining ? ['the instance is shutting down'] : []),
      ...tokens
        .status()
        .filter((issuer) => issuer.keys === 0)
        .map((issuer) => `no signing keys of issuer ${issuer.issuer} yet: ${issuer.lastError ?? 'being fetched'}`),
      ...noValuesReason(keyring.status()),
      ...(sinks.auditHealthy() ? [] : ['the audit log cannot be written; changes are refused until it can']),
    ]
    // Over in a moment, so it is said only where nothing else keeps the instance from being ready.
    if (reasons.length === 0 && identities.reason !== null) reasons.push(identities.reason)
    // A note and no reason: an instance serves without the store as well.
    const notes = [
      store?.away === true ? `the shared store is away: ${store.state.reason}` : null,
      store === null ? null : groupNote(store.membership.state),
      policies.refusal === null ? null : refusalNote(policies.refusal),
      blocks.note,
      ...identities.notes,
      ...copies.notes,
      shadow === null || shadow.set.refusal === null ? null : shadowNote(shadow.set.refusal.diagnostics),
      ...certificates.notes,
      ...unwritableNotes(sinks.health(), log.fault()),
      ...checkpointNotes(checkpoints?.status() ?? null),
      ...changedFiles(),
      overloadNote(overload.level),
      ...fullNotes(keys),
      ...keyring.status().map(keySourceNote),
      ...rotations.notes,
      ...tokens.status().flatMap((status) => [staleKeysNote(status), clockNote(status, config.issuers)]),
    ].filter((note) => note !== null)
    return { ready: reasons.length === 0, reasons, ...(notes.length > 0 ? { notes } : {}) }
  }
}
