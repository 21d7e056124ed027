// Watches whether keys are used elsewhere: reads the audit log of the enterprise, holds it against the writes of all instances, and tells
// what did not pass through them.

import type { ForeignUse } from '../../admin/views.ts'
import { mostAuditLines, readAuditLines } from '../../gateway/own-calls/audit-reader.ts'
import type { OwnCalls } from '../../gateway/own-calls/own-calls.ts'
import { memberOf } from '../../json/untyped.ts'
import { operationsByAction } from '../../keys/copies/actions.ts'
import { CopyWatch, graceMs, keptMs } from '../../keys/copies/copy-watch.ts'
import { skewMs, type AuditLine } from '../../keys/copies/foreign-uses.ts'
import type { AccessEntry } from '../../records/entries.ts'
import type { Store } from '../../store/store.ts'
import type { Core } from '../core.ts'
import type { Identities } from './identities.ts'
import { SharedUses } from './shared-uses.ts'

const everyMs = 60_000
const sendEveryMs = 1_000
/** So far back each reading begins; once an hour all is read that is judged, for lines that come late. */
const usualBackMs = 2 * 3_600_000
const wholeEveryMs = 3_600_000
/** So long `/readyz` notes a foreign use. */
const notedMs = 24 * 3_600_000
const mostShown = 20

export type Copies = ReturnType<typeof openCopies>

/** `isAlone`: no other process without a shared store may use the keys, as far as this one knows. */
export function openCopies(
  core: Pick<Core, 'catalogue' | 'instruments' | 'keyring' | 'log' | 'now' | 'policies' | 'sinks'>,
  identities: Identities,
  calls: OwnCalls,
  store: Store | null,
  isAlone: boolean,
) {
  const { catalogue, instruments, keyring, log, now, policies, sinks } = core
  const shared = store === null ? null : new SharedUses(store)
  const found = new Map<string, ForeignUse[]>()
  let watch: CopyWatch | null = null
  let trouble: string | null = null
  let wholeAtMs = 0
  let isBusy = false
  const timers = [setInterval(look, everyMs), ...(shared === null ? [] : [setInterval(send, sendEveryMs)])]
  for (const timer of timers) timer.unref()

  function watched(): ReadonlySet<string> {
    return new Set(policies.current.keys.flatMap((key) => (key.watch ? [key.id] : [])))
  }

  function note(entry: AccessEntry): void {
    if (watch === null || entry.key === null || entry.upstream_ms === null || entry.operation === null) return
    if (entry.method === 'GET' || entry.method === 'HEAD') return
    const atMs = Date.parse(entry.time)
    const use = {
      id: entry.decision_id,
      key: entry.key,
      operation: entry.operation,
      organization: entry.organization,
      fromMs: atMs - entry.duration_ms,
      toMs: atMs + entry.duration_ms,
    }
    watch.addUse(use)
    shared?.add(use)
  }

  function send(): void {
    // The store tells of its own outage; the uses wait.
    shared?.send().catch(() => {})
  }

  /** Says the first time that keys cannot be watched, and why. */
  function fail(why: string): void {
    if (trouble !== why) log.warn({ event: 'key-watch', keys: [...watched()] }, why)
    trouble = why
  }

  function look(): void {
    const ids = watched()
    if (ids.size === 0) watch = null
    else if (!isAlone) fail(needsStore)
    else {
      watch ??= new CopyWatch(operationsByAction(catalogue.operations), now())
      if (isBusy) return
      isBusy = true
      read(watch, ids)
        .catch((error: unknown) => log.error({ event: 'defect', error }, 'the audit log could not be judged'))
        .finally(() => {
          isBusy = false
        })
    }
  }

  async function read(watching: CopyWatch, ids: ReadonlySet<string>): Promise<void> {
    const nowMs = now()
    const isWhole = nowMs - wholeAtMs >= wholeEveryMs
    const fromMs = Math.max(watching.sinceMs, nowMs - (isWhole ? keptMs : usualBackMs))
    const came = await readAuditLines(calls, fromMs - skewMs, nowMs + skewMs, (line) => watching.addLine(line))
    if (came === 'unreadable') return fail(cannotRead)
    // Of a whole day too much: the next readings are of the usual time again.
    if (came === 'too-long') return isWhole ? void (wholeAtMs = nowMs) : fail(tooLong)
    if (shared !== null) {
      try {
        await shared.send()
        for (const use of await shared.read(isWhole ? keptMs + skewMs : usualBackMs + graceMs)) watching.addUse(use)
      } catch {
        return fail(storeAway)
      }
    }
    if (isWhole) wholeAtMs = nowMs
    trouble = null
    const keys = keyring.versions().flatMap(({ handle: { id } }) => {
      const serviceUser = identities.statusOf(id).identity?.serviceUser ?? null
      return serviceUser === null ? [] : [{ id, serviceUser }]
    })
    for (const [key, line] of watching.judge(keys, ids, nowMs)) if (!(await isByDevin(line))) tell(key, line)
  }

  /** A schedule, or an integration, starts sessions by itself; only those that the API started were started with a key. */
  async function isByDevin({ action, session, organization }: AuditLine): Promise<boolean> {
    if (action !== 'create_session' || session === null) return false
    const answer =
      (organization === null
        ? null
        : await calls.read('org.sessions.get', { org_id: organization, devin_id: session })) ??
      (await calls.read('ent.sessions.get', { devin_id: session }))
    const origin = answer === null || answer === 'absent' ? null : memberOf(answer.value, 'origin')
    return typeof origin === 'string' && origin !== 'api'
  }

  function tell(key: string, line: AuditLine): void {
    const use: ForeignUse = {
      time: new Date(line.atMs).toISOString(),
      action: line.action,
      organization: line.organization,
      address: line.address,
      audit_log_id: line.id,
    }
    const uses = found.get(key) ?? []
    found.set(key, [...uses, use].slice(-mostShown))
    instruments.keyUsedElsewhere(key)
    log.error({ event: 'key-used-elsewhere', key, ...use }, `key "${key}" ${foreignText(use)}. ${whatToDo}`)
    void sinks.audit('key-used-elsewhere', 'gateway', { key, ...use })
  }

  return {
    /** The same records, of which the writes are remembered. */
    noting: <T extends Pick<Core['sinks'], 'access'>>(records: T): T => ({
      ...records,
      access(entry: AccessEntry): string | null {
        note(entry)
        return records.access(entry)
      },
    }),
    /** What was done with a key elsewhere, the latest last; null for a key that is not watched. */
    usesOf: (key: string): readonly ForeignUse[] | null => (watched().has(key) ? (found.get(key) ?? []) : null),
    get notes(): readonly string[] {
      const recent = [...found].flatMap(([key, uses]) => {
        const latest = uses.at(-1)
        return latest === undefined || Date.parse(latest.time) < now() - notedMs
          ? []
          : [`key "${key}" ${foreignText(latest)}`]
      })
      return watched().size > 0 && trouble !== null ? [...recent, `keys are not watched: ${trouble}`] : recent
    },
    /** Reads the audit log now; the first time it begins to remember writes. */
    look,
    close(): void {
      for (const timer of timers) clearInterval(timer)
    },
  }
}

const cannotRead =
  'the audit log of the enterprise cannot be read: a key of the inventory needs ManageEnterpriseSettings, and Devin has to answer'
const tooLong = `the audit log of the enterprise has more than ${mostAuditLines} lines in two hours, and the gateway reads no more`
const storeAway = 'the shared store is away, so the writes of other instances are not known'
const needsStore = 'with several workers `watch` needs a shared store, so that each knows the writes of the others'
const whatToDo = 'Revoke it at Devin and rotate, unless somebody used it on purpose.'

function foreignText({ action, organization, address, time }: ForeignUse): string {
  return `was used elsewhere: ${action}${organization === null ? '' : ` in ${organization}`} at ${time}${address === null ? '' : ` from ${address}`}`
}
