// The policies in force and the audit log, as operators see them.

import type { AuditView, PolicyReloadView, PolicyStateView } from '../../admin/console/policy-view.ts'
import { isoTime } from '../../admin/views.ts'
import { formatDiagnostic } from '../../config/diagnostics.ts'
import { recordJson } from '../../records/safe-text.ts'
import type { PolicyReload } from '../live-policies.ts'
import type { ConsoleOptions } from './console-options.ts'

const soonMs = 30 * 86_400_000
const mostWarnings = 200

export function policyState({ core, identities }: ConsoleOptions): PolicyStateView {
  const { config, now, policies } = core
  const { current, history, loaded, loadedAtMs, refusal } = policies
  const refused =
    refusal === null ? undefined : history.find(({ atMs, result }) => atMs >= refusal.atMs && result === refusal.result)
  const soon = (endsAtMs: number | null): endsAtMs is number => endsAtMs !== null && endsAtMs <= now() + soonMs
  const ofTeams = current.teams.flatMap((team) => [
    ...team.grants.map(({ id, ending, owner, source }) => ({
      what: `grant ${id} of team ${team.id}`,
      endsAtMs: ending.endsAtMs,
      owner: owner?.owner ?? owner?.contact ?? null,
      source: `${source.file}:${source.line}`,
    })),
    ...team.members.map(({ ending }, index) => ({
      what: `entry ${index + 1} of the members of team ${team.id}`,
      endsAtMs: ending.endsAtMs,
      owner: team.owner?.owner ?? team.owner?.contact ?? null,
      source: `${team.source.file}:${team.source.line}`,
    })),
  ])
  const ofKeys = current.keys.flatMap(({ id, expiresAtMs, source }) => [
    { what: `key ${id}`, endsAtMs: expiresAtMs, owner: null, source: `${source.file}:${source.line}` },
    { what: `key ${id} at Devin`, endsAtMs: identities.statusOf(id).endsAtMs, owner: null, source: 'Devin' },
  ])
  return {
    directory: config.policiesDirectory,
    loaded_at: isoTime(loadedAtMs) ?? '',
    teams: current.teams.length,
    keys: current.keys.length,
    refusal: refused === undefined ? null : reloadView(refused),
    history: history.map(reloadView),
    warnings: loaded.diagnostics.slice(0, mostWarnings).map(formatDiagnostic),
    ends_soon: [...ofTeams, ...ofKeys]
      .flatMap(({ what, endsAtMs, owner, source }) => (soon(endsAtMs) ? [{ what, endsAtMs, owner, source }] : []))
      .toSorted((a, b) => a.endsAtMs - b.endsAtMs)
      .map(({ what, endsAtMs, owner, source }) => ({ what, ends_at: isoTime(endsAtMs) ?? '', owner, source })),
    invariants: loaded.invariants.map(({ id, kind, source }) => ({
      id,
      kind,
      source: `${source.file}:${source.line}`,
    })),
  }
}

function reloadView({ atMs, result, actor, revision, diagnostics }: PolicyReload): PolicyReloadView {
  return { at: isoTime(atMs) ?? '', result, actor, revision, diagnostics }
}

export function auditState({ core }: ConsoleOptions): AuditView {
  const { checkpoints, config, sinks } = core
  const { seq, hash } = sinks.auditHead()
  const health = sinks.health().find(({ stream }) => stream === 'audit')
  const changes = sinks.changes().map(({ time, event, actor, details }) => ({ time, event, actor, details }))
  return {
    target: config.records.audit,
    healthy: health?.healthy ?? false,
    error: health?.error ?? null,
    head: { seq, hash },
    anchors: (checkpoints?.status()?.places ?? []).map(({ place, lastSequence, lastAtMs, error }) => ({
      where: place,
      seq: lastAtMs === null ? null : lastSequence,
      at: isoTime(lastAtMs),
      error,
    })),
    // As in the file: secrets in details are masked.
    changes: JSON.parse(recordJson(changes)) as AuditView['changes'],
  }
}
