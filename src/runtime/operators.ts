// Builds the operators' side: readiness, status, metrics, purge, reload.

import { createAdminApp, createHealthApp, type Readiness } from '../admin/app.ts'
import type { AdminApp } from '../admin/listener.ts'
import { cacheView, checkpointsView, issuerView, keyView, policiesView, shadowView, storeView } from '../admin/views.ts'
import { groupNote, groupView } from '../cache/shared/group-view.ts'
import { organizationTag, resourceTag } from '../cache/invalidation/tags.ts'
import type { GatewayApp } from '../gateway/app.ts'
import { refusedAt, type Overload, type OverloadLevel } from '../gateway/load/overload.ts'
import type { Upstream } from '../gateway/upstream/upstream.ts'
import { auditedChange } from '../admin/access/operator.ts'
import type { OpenAccess } from './access/open-access.ts'
import type { BlocksInForce } from './blocks.ts'
import type { Certificates } from './certificate.ts'
import { checkpointNotes } from './audit/checkpoints.ts'
import { openConsole } from './console/console.ts'
import type { Core } from './core.ts'
import type { Copies } from './keys/copies.ts'
import type { Identities } from './keys/identities.ts'
import type { RotationsInForce } from './keys/rotations.ts'
import { createKeyReport } from './keys/key-report.ts'
import type { ReloadResult } from './live-policies.ts'
import { operatorsRefused } from './listener.ts'
import { fullNotes } from './idempotency.ts'
import {
  changedFileNote,
  clockNote,
  keySourceNote,
  noValuesReason,
  refusalNote,
  shadowNote,
  staleKeysNote,
} from './notes.ts'
import type { ShadowReload } from './policies/shadow-policies.ts'
import type { SharedState } from './shared-state.ts'

/** `lifecycle` is called at each request. */
export function createOperators(
  core: Core,
  shares: SharedState,
  upstream: Upstream,
  app: GatewayApp,
  certificates: Certificates,
  access: OpenAccess,
  overload: Overload,
  blocks: BlocksInForce,
  identities: Identities,
  copies: Copies,
  rotations: RotationsInForce,
  lifecycle: { readonly draining: boolean },
): {
  readonly admin: AdminApp
  readonly health: AdminApp | null
  readiness(): Readiness
  reload(actor: string): Promise<ReloadResult>
  /** Ends what is measured for operators. */
  close(): void
} {
  const {
    config,
    catalogue,
    changedFiles,
    checkpoints,
    instruments,
    keyring,
    log,
    policies,
    shadow,
    sinks,
    tokens,
    version,
  } = core
  const { broadcast, cache, keys, showBudgets, store } = shares
  const report = createKeyReport(core, identities)
  const group = () =>
    store === null || broadcast === null ? null : groupView(store.membership.state, broadcast.counts)

  /** Of files that are read at the start only, as the latest reload found them. */
  let ofChangedFiles: readonly string[] = []

  function readiness(): Readiness {
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
      ...checkpointNotes(checkpoints?.status() ?? null),
      ...ofChangedFiles,
      overload.level === 0 ? null : overloadNote(overload.level),
      ...fullNotes(keys),
      ...keyring.status().map(keySourceNote),
      ...rotations.notes,
      ...tokens.status().flatMap((status) => [staleKeysNote(status), clockNote(status, config.issuers)]),
    ].filter((note) => note !== null)
    return { ready: reasons.length === 0, reasons, ...(notes.length > 0 ? { notes } : {}) }
  }

  const showShadow = (): unknown => (shadow === null ? null : { ...shadowView(shadow.set), ...shadow.decisions.counts })
  const view = openConsole({
    core,
    shares,
    upstream,
    app,
    certificates,
    overload,
    blocks,
    identities,
    report,
    readiness,
    lifecycle,
    group,
    changedFiles: () => ofChangedFiles,
    extraNotes: () => [...copies.notes, ...rotations.notes],
  })

  const onRefused = operatorsRefused(log, core.monotonic, instruments.connectionRefused)
  const onDefect = (error: unknown): void =>
    log.error(
      { event: 'defect', error },
      "a request to the operators' listener failed for a reason of the gateway's own",
    )
  const health =
    config.listen.health === null ? null : createHealthApp({ readiness, metrics: instruments, onRefused, onDefect })
  const admin = createAdminApp({
    readiness,
    onRefused,
    onDefect,
    console: view.parts,
    metrics: instruments,
    access: access.access,
    tls: certificates.admin,
    isBlocked: (caller) => blocks.list.find({ ...caller, issuer: '', app: null }) !== null,
    onChange(operator, change) {
      const entry = access.isAuditedElsewhere ? null : auditedChange(operator, change)
      if (entry !== null) void sinks.audit(...entry)
    },
    keys: () =>
      keyring
        .status()
        .map((status) => keyView(status, identities.statusOf(status.handle.id), copies.usesOf(status.handle.id))),
    policies: () => ({
      revision: policies.current.revision,
      files: policies.files,
      ...view.policies(),
      shadow: showShadow(),
    }),
    blocks: blocks.api,
    rotations: rotations.api,
    budgets: showBudgets,
    checkpoint: async () => (await checkpoints?.now()) ?? null,
    shadow: showShadow,
    purge: async (what, actor) => {
      const { dropped, instances, silent, reached } = await cache.invalidate(
        'organization' in what
          ? [organizationTag(what.organization), organizationTag(null)]
          : [resourceTag(what.resource)],
      )
      const purged = { dropped, instances, silent, everywhere: reached }
      await sinks.audit('cache-purged', actor, { ...what, ...purged })
      return purged
    },
    reload: async (actor) => {
      const { result, kept, ofShadow } = await renew(actor)
      const isDone = result === 'replaced' || result === 'unchanged'
      return {
        result,
        ...(config.listen.tls === null && config.listen.adminTls === null
          ? {}
          : { certificate: kept.length === 0 ? 'read' : 'kept' }),
        ...(shadow === null || ofShadow === null
          ? {}
          : { shadow: { result: ofShadow, diagnostics: shadow.set.refusal?.diagnostics ?? [] } }),
        diagnostics: [...(isDone ? [] : (policies.refusal?.diagnostics ?? [])), ...kept, ...ofChangedFiles],
      }
    },
    status: () => ({
      version,
      configuration: { file: config.file, notes: ofChangedFiles },
      ready: readiness(),
      draining: lifecycle.draining,
      in_flight: app.inFlight,
      policies: policiesView(policies),
      ...(shadow === null ? {} : { shadow_policies: shadowView(shadow.set) }),
      catalogue: {
        operations: catalogue.operations.length,
        served: catalogue.operations.filter((operation) => catalogue.isServed(operation)).length,
      },
      issuers: tokens.status().map(issuerView),
      records: sinks.health(),
      checkpoints: checkpointsView(checkpoints?.status() ?? null),
      store: storeView(store?.state ?? null),
      cache: cacheView(cache.stats(), group()),
      upstream: { origin: config.upstream.origin, in_flight: upstream.inFlight, waiting: upstream.waiting },
    }),
  })

  /** Reads policies, secrets and certificate again and reopens the record files. */
  async function reload(actor: string): Promise<ReloadResult> {
    return (await renew(actor)).result
  }

  /** `kept`: why the certificate before stays in use; empty when it does not, or there is none. */
  async function renew(
    actor: string,
  ): Promise<{ result: ReloadResult; kept: readonly string[]; ofShadow: ShadowReload | null }> {
    sinks.reopen()
    checkpoints?.renewKey?.()
    ofChangedFiles = (await changedFiles()).map(changedFileNote)
    for (const note of ofChangedFiles) log.warn({ event: 'config-changed', actor }, note)
    const kept = await certificates.renew(app, admin)
    const [result, ofShadow] = await Promise.all([policies.reload(actor), shadow?.set.reload(actor) ?? null])
    // A key may be watched from now on.
    copies.look()
    return { result, kept, ofShadow }
  }

  instruments.beforeScrape(async () => {
    instruments.draining(lifecycle.draining)
    instruments.connections(app.connections)
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

  return { admin, health, readiness, reload, close: view.close }
}

function overloadNote(level: OverloadLevel): string {
  const { beyondShare, withinShare } = refusedAt(level)
  const others = withinShare.length === 0 ? 'none' : withinShare.join(', ')
  return `the event loop lags; requests are refused of teams that make more than their share of the load (priority ${beyondShare.join(', ')}) and of other teams (priority ${others})`
}
