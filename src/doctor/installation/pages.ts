// What a running gateway says of itself on its operators' or health listener, however it is reached.

import type { TroubleView } from '../../admin/console/now-view.ts'
import type { KeyView } from '../../admin/views.ts'
import { isObject } from '../../json/untyped.ts'
import type { Findings } from '../finding.ts'

/** An answer to a GET. */
export interface Page {
  readonly status: number
  readonly body: string
}

/** Null where nothing answers. Rejects with a sentence where the listener wants a login or another role. */
export type PageReader = (path: string, signal: AbortSignal) => Promise<Page | null>

/** What is compared with files here, and with other instances. */
export interface GatewayFacts {
  /** One for each worker; empty where it is not told. */
  readonly versions: readonly string[]
  readonly configuration: string | null
  /** One for each worker. */
  readonly revisions: readonly string[]
  /** It shares nothing with other instances; null where it is not told. */
  readonly isAlone: boolean | null
  /** When its processes started, by its metrics, in whole seconds. */
  readonly started: readonly string[]
  /** When the instance started, finer; null where a listener does not tell. */
  readonly startedAt: string | null
  /** Most file descriptors of a process; null where it is not told. */
  readonly descriptors: number | null
  readonly keys: readonly KeyView[] | null
}

interface Readiness {
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly notes: readonly string[]
}

/** The readiness in the answer to /readyz; null for the answer of something else. */
export function readinessOf(page: Page | null): Readiness | null {
  const body = page === null ? null : jsonOf(page.body)
  if (!isObject(body) || typeof body['ready'] !== 'boolean') return null
  const texts = (name: string): string[] => (Array.isArray(body[name]) ? (body[name] as unknown[]).map(String) : [])
  return { ready: body['ready'], reasons: texts('reasons'), notes: texts('notes') }
}

/** Adds how a gateway is that has told its readiness. */
export async function addGatewayFindings(
  found: Findings,
  readiness: Readiness,
  read: PageReader,
  signal: AbortSignal,
): Promise<GatewayFacts> {
  const metrics = (await read('/metrics', signal).catch(() => null))?.body ?? ''
  const ofMetrics = {
    started: samples(metrics, /^process_start_time_seconds(?:\{[^}]*\})? (\S+)/gm),
    descriptors: Number(samples(metrics, /^process_max_fds(?:\{[^}]*\})? (\S+)/gm)[0] ?? Number.NaN) || null,
    revisions: samples(metrics, /^gateway_policy_revision_info\{[^}]*revision="([^"]+)"/gm),
  }
  const nothing = { versions: [], configuration: null, isAlone: null, keys: null, startedAt: null, ...ofMetrics }
  let status: Page | null = null
  try {
    status = await read('/api/status', signal)
  } catch (error) {
    addReadiness(found, readiness)
    found.skipped(
      'status',
      `Its version, troubles and keys are not shown: ${error instanceof Error ? error.message : ''}.`,
    )
    return nothing
  }
  // A listener of health alone.
  if (status?.status !== 200) {
    addReadiness(found, readiness)
    return nothing
  }
  const now = jsonOf((await read('/api/now', signal))?.body ?? '')
  const troubles = isObject(now) && Array.isArray(now['troubles']) ? (now['troubles'] as TroubleView[]) : null
  if (troubles === null) addReadiness(found, readiness)
  else addTroubles(found, troubles, readiness)
  const keys = jsonOf((await read('/api/keys', signal))?.body ?? '')
  const instance = isObject(now) && isObject(now['instance']) ? now['instance'] : {}
  const startedAt = instance['started_at']
  return {
    ...nothing,
    ...factsOf(jsonOf(status.body)),
    startedAt: typeof startedAt === 'string' ? startedAt : null,
    keys: Array.isArray(keys) ? (keys as KeyView[]) : null,
  }
}

function addReadiness(found: Findings, { ready, reasons, notes }: Readiness): void {
  if (ready) found.ok('ready', 'it is ready')
  for (const reason of ready ? [] : reasons)
    found.error('ready', `The gateway is not ready: ${reason}.`, 'Mend this; balancers send it nothing until then.')
  for (const note of notes) found.warning('note', `The gateway says: ${note}.`, 'Read docs/operations.md, "Ready".')
}

function addTroubles(found: Findings, troubles: readonly TroubleView[], readiness: Readiness): void {
  for (const { severity, what, since, owner, do: action, about } of troubles) {
    const message = `The gateway says, since ${since}: ${what}`
    const whole = `${action} (${owner})`
    if (severity === 'outage') found.error('trouble', message, whole, about.name ?? found.about)
    else found.warning('trouble', message, whole, about.name ?? found.about)
  }
  const isTold = troubles.some(({ severity }) => severity === 'outage')
  if (readiness.ready || !isTold) addReadiness(found, { ...readiness, notes: [] })
}

/** Of one process, or of each worker. */
function factsOf(status: unknown): Partial<GatewayFacts> {
  if (!isObject(status)) return {}
  const workers = Array.isArray(status['workers']) ? (status['workers'] as unknown[]).filter(isObject) : [status]
  const at = (value: unknown, ...path: string[]): unknown =>
    path.reduce<unknown>((inner, name) => (isObject(inner) ? inner[name] : null), value)
  const texts = (...path: string[]): string[] =>
    workers.map((worker) => at(worker, ...path)).filter((each) => typeof each === 'string')
  return {
    versions: [...new Set(texts('version'))],
    configuration: texts('configuration', 'file')[0] ?? null,
    revisions: [...new Set(texts('policies', 'revision'))],
    isAlone: texts('store', 'kind')[0] === 'memory',
  }
}

function samples(text: string, pattern: RegExp): readonly string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, value = '']) => value))]
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
