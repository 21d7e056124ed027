// `keys --report`: the powers of each key against their use.

import { relative } from 'node:path'
import type { KeyView } from '../../admin/views.ts'
import { counted } from '../../config/plural.ts'
import type { ResolvedSecrets } from '../../keys/reading.ts'
import { keyFindings, type KeyFinding } from '../../policy/key-report/findings.ts'
import { addOwnOperations, addReach, emptyReaches, type KeyReaches } from '../../policy/key-report/reach.ts'
import { KeyUses, type KeyUse } from '../../policy/key-report/use.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { atOnce } from '../../policy/model/steps.ts'
import type { Invocation } from '../invocation.ts'
import { readDecisions, type ReadDecisions } from '../logs/decisions.ts'
import { UsageError } from '../usage.ts'
import { atDevin } from './live-keys.ts'

export interface ReportedSet {
  readonly policy: PolicySet
  readonly secrets: ResolvedSecrets
  /** Of the running gateway; null without one. */
  readonly live: readonly KeyView[] | null
}

const usualDays = 30

/** Prints the report; always 0, for a finding is a matter of judgement. */
export async function reportKeys(
  invocation: Invocation,
  logs: readonly string[],
  { policy, secrets, live }: ReportedSet,
): Promise<number> {
  const days = daysOf(invocation)
  const log = logs.length === 0 ? null : await usesIn(logs, policy, invocation)
  const uses = log === null ? null : log.uses.within(days, log.read.last)
  const reaches = emptyReaches(policy)
  atOnce(addReach(policy, reaches))
  addOwnOperations(policy, reaches)
  const findings = keyFindings(policy, {
    reaches,
    uses,
    watched: watchedText(days, log?.read ?? null, live !== null),
    atDevin: new Map((live ?? []).map((key) => [key.id, atDevin(key)])),
    twins: twinsOf(policy, secrets, live),
    nowMs: Date.now(),
  })
  const rows = policy.keys.map((handle) => rowOf(policy, handle.id, reaches, uses, live, findings))
  if (invocation.json) {
    const seen = log === null ? null : { from: log.read.first, to: log.read.last, gaps: log.read.gaps.length }
    invocation.print(JSON.stringify({ days, log: seen, live: live !== null, keys: rows, findings }))
    return 0
  }
  const { paint } = invocation
  for (const row of rows) {
    const place = row.scope === 'organization' ? `organization ${row.organization ?? ''}` : 'enterprise'
    invocation.print(`${paint('bold', row.id)}  ${place}`)
    invocation.print(`    declared  ${listed(row.declared)}`)
    if (row.used !== null)
      invocation.print(
        `    used      ${listed(row.used)}${row.last_used_at === null ? '' : `; last ${row.last_used_at}`}`,
      )
    invocation.print(`    serves    ${row.teams.length === 0 ? 'no team' : row.teams.join(', ')}`)
    if (row.gateway_uses.length > 0) invocation.print(`    gateway   may use it for ${row.gateway_uses.join(', ')}`)
    if (row.service_user !== null)
      invocation.print(`    at Devin  service user ${row.service_user}${rolesText(row.roles)}`)
  }
  for (const { text, action, file, line, finding } of findings) {
    invocation.print(`${paint('yellow', finding)} ${relative('', file)}:${line}: ${text}.`)
    invocation.print(`    ${action}`)
  }
  invocation.print(`${counted(rows.length, 'key')}, ${counted(findings.length, 'finding')}`)
  for (const note of notes(log?.read ?? null, live !== null)) invocation.print(note)
  return 0
}

function daysOf(invocation: Invocation): number {
  const written = invocation.option('days')
  if (written === null) return usualDays
  if (!/^[1-9]\d{0,3}$/.test(written))
    throw new UsageError(`--days takes a number of days from 1 to 9999, not "${written}"`)
  return Number(written)
}

async function usesIn(
  logs: readonly string[],
  policy: PolicySet,
  invocation: Invocation,
): Promise<{ readonly uses: KeyUses; readonly read: ReadDecisions }> {
  const uses = new KeyUses(policy)
  const read = await readDecisions(logs, invocation.err, {
    repeated: () => false,
    decision: (record) => uses.add(record),
  })
  return { uses, read }
}

function watchedText(days: number, read: ReadDecisions | null, isLive: boolean): string | null {
  const start = 'since the gateway started'
  if (read === null) return isLive ? start : null
  const shown = `in the ${counted(days, 'day')} before ${read.last}`
  return isLive ? `${shown}, nor ${start}` : shown
}

/** By the values that this machine holds, and by what the running gateway says. */
function twinsOf(
  policy: PolicySet,
  { values }: ResolvedSecrets,
  live: readonly KeyView[] | null,
): ReadonlyMap<string, string> {
  const twins = new Map<string, string>()
  for (const [index, { id }] of policy.keys.entries()) {
    const own = values.get(id)?.secret
    const here = policy.keys.slice(0, index).find((other) => {
      const theirs = values.get(other.id)?.secret
      return own !== undefined && theirs?.equals(own) === true
    })
    const twin = here?.id ?? live?.find((key) => key.id === id)?.same_value_as ?? null
    if (twin !== null) twins.set(id, twin)
  }
  return twins
}

function rowOf(
  policy: PolicySet,
  id: string,
  reaches: KeyReaches,
  uses: ReadonlyMap<string, KeyUse> | null,
  live: readonly KeyView[] | null,
  findings: readonly KeyFinding[],
) {
  const handle = policy.keys.find((key) => key.id === id)
  const view = live?.find((key) => key.id === id)
  const [reach, use] = [reaches.get(id), uses?.get(id)]
  const declared = [...(handle?.permissions ?? [])].sort()
  const since = view === undefined ? [] : [...(atDevin(view).usedPermissions ?? [])]
  const times = [use?.lastUsedAt, view?.last_used_at].filter((time) => typeof time === 'string').sort()
  return {
    id,
    scope: handle?.scope ?? 'organization',
    organization: handle?.organization ?? null,
    declared,
    /** Null where neither a log nor a gateway says it. */
    used: uses === null && view === undefined ? null : [...new Set([...(use?.permissions ?? []), ...since])].sort(),
    calls: use?.count ?? null,
    last_used_at: times.at(-1) ?? null,
    /** Permissions that a right of the policy needs. */
    needed: [...(reach?.permissions ?? [])].sort(),
    teams: [...(reach?.teams ?? [])].sort(),
    gateway_uses: [...(reach?.ownOperations ?? [])].sort(),
    service_user: view?.identity?.service_user ?? null,
    roles: view?.identity?.roles ?? null,
    findings: findings.filter(({ key }) => key === id).map(({ finding }) => finding),
  }
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ')
}

function rolesText(roles: ReturnType<typeof rowOf>['roles']): string {
  if (roles === null) return ''
  const texts = roles.map(
    ({ role, organization }) => `${role} ${organization === null ? 'at enterprise level' : `in ${organization}`}`,
  )
  return `, ${roles.length === 0 ? 'no role' : texts.join(', ')}`
}

/** What the report could not look at. */
function notes(read: ReadDecisions | null, isLive: boolean): readonly string[] {
  return [
    ...(read === null
      ? ['note: --log FILE adds the use of the last days; name the decision logs of all instances']
      : []),
    ...(read !== null && read.gaps.length > 0
      ? [`note: ${counted(read.gaps.length, 'gap')} in the log: what seems unused may have been used`]
      : []),
    ...(isLive
      ? []
      : ['note: no gateway of this configuration runs here: service users, roles and ends at Devin are not known']),
  ]
}
