// Builds the operators' side: readiness, status, metrics, purge, reload, console.

import { createAdminApp, createHealthApp, type Readiness } from '../../admin/app.ts'
import { auditedChange } from '../../admin/access/operator.ts'
import type { AdminApp } from '../../admin/listener.ts'
import {
  cacheView,
  checkpointsView,
  issuerView,
  keyView,
  policiesView,
  shadowView,
  storeView,
} from '../../admin/views.ts'
import { organizationTag, resourceTag } from '../../cache/invalidation/tags.ts'
import { groupView } from '../../cache/shared/group-view.ts'
import { openConsole } from '../console/console.ts'
import { createKeyReport } from '../keys/key-report.ts'
import { operatorsRefused } from '../listener.ts'
import type { ReloadResult } from '../live-policies.ts'
import type { OperatorsParts } from './parts.ts'
import { createReadiness } from './readiness.ts'
import { createReload } from './reload.ts'
import { measureAtScrape } from './scrape.ts'

export function createOperators(parts: OperatorsParts): {
  readonly admin: AdminApp
  readonly health: AdminApp | null
  readiness(): Readiness
  /** Reads policies, secrets and certificate again and reopens the record files. */
  reload(actor: string): Promise<ReloadResult>
  /** Ends what is measured for operators. */
  close(): void
} {
  const { core, shares, upstream, app, certificates, access, blocks, identities, copies, rotations, lifecycle } = parts
  const { config, catalogue, checkpoints, instruments, keyring, log, policies, shadow, sinks, tokens, version } = core
  const { broadcast, cache, showBudgets, store } = shares
  const report = createKeyReport(core, identities)
  const group = () =>
    store === null || broadcast === null ? null : groupView(store.membership.state, broadcast.counts)
  const reloading = createReload(parts)
  const readiness = createReadiness(parts, reloading.changedFiles)

  const showShadow = (): unknown => (shadow === null ? null : { ...shadowView(shadow.set), ...shadow.decisions.counts })
  const view = openConsole({
    ...parts,
    report,
    readiness,
    group,
    changedFiles: reloading.changedFiles,
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
    reload: (actor) => reloading.answer(actor, admin),
    status: () => ({
      version,
      configuration: { file: config.file, notes: reloading.changedFiles() },
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
  measureAtScrape(parts, report, group)

  return {
    admin,
    health,
    readiness,
    reload: async (actor) => (await reloading.renew(actor, admin)).result,
    close: view.close,
  }
}
