// Who may do what under one policy set: a row for each team, class of callers, operation and organizations that are alike. Pure.

import { guardrailBounds, limitBounds } from '../cells/bounds.ts'
import { describeCallers } from '../cells/caller-classes.ts'
import { anyOtherOrganization, askedOperation } from '../cells/requests.ts'
import { walkCells, type CellCount, type Cells } from '../cells/walk.ts'
import { describeCondition } from '../model/condition.ts'
import { instantText } from '../../config/values/instants.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'

export interface MatrixRow {
  readonly team: string
  readonly callers: string
  /** With the members of the body that need permissions of their own. */
  readonly operation: string
  /** `org-any-other` stands for every one that the set does not name; null: the request names none. */
  readonly organizations: readonly (string | null)[]
  readonly effect: 'allow' | 'deny'
  /** Of the decision, or `key-unavailable`. */
  readonly reason: string
  readonly grant: string | null
  readonly key: string | null
  /** What the grant asks of callers, when it ends, and whether it is in mode `warn`; null: nothing of this. */
  readonly conditions: string | null
  readonly guardrails: readonly string[]
  readonly limits: readonly string[]
}

export interface Matrix extends CellCount {
  readonly rows: readonly MatrixRow[]
}

export type DeniedRows = 'covered' | 'all'

/**
 * Every right of the set. Of what is denied, `covered` lists what a grant covers all the same: a key is missing, or a guardrail
 * withholds it.
 */
export function matrixOf(policy: PolicySet, denied: DeniedRows): Matrix {
  const rows = new Map<
    string,
    { readonly cells: Cells; readonly row: MatrixRow; callers: Cells['callers'][number][] }
  >()
  const count = walkCells([policy], (cells) => {
    const [right] = cells.rights
    if (right === undefined) return
    const isCovered = right.grant !== null && right.reason !== 'organization-not-granted'
    if (right.effect === 'deny' && denied === 'covered' && !isCovered) return
    const row = rowOf(cells)
    const key = JSON.stringify({ ...row, callers: '' })
    const known = rows.get(key)
    if (known === undefined) rows.set(key, { cells, row, callers: [...cells.callers] })
    else known.callers.push(...cells.callers)
  })
  const described = [...rows.values()].map(({ cells, row, callers }) => ({
    ...row,
    callers: describeCallers(callers, cells.allCallers),
  }))
  const joined = new Map<string, MatrixRow>()
  for (const row of described) {
    const key = JSON.stringify({ ...row, organizations: null })
    const known = joined.get(key)?.organizations ?? []
    joined.set(key, { ...row, organizations: [...known, ...row.organizations] })
  }
  return { ...count, rows: [...joined.values()].sort((a, b) => order(a).localeCompare(order(b), 'en')) }
}

function order({ team, operation, effect, callers }: MatrixRow): string {
  return `${team}\n${operation}\n${effect}\n${callers}`
}

function rowOf({ team, callers, request, organizations, rights, views }: Cells): MatrixRow {
  const { operation, members } = request
  const [right, view] = [rights[0], views[0]]
  const grant = right?.grant ?? null
  const [{ principal }] = callers
  const isAllowed = right?.effect === 'allow' && view !== undefined
  return {
    team,
    callers: '',
    operation: askedOperation({ operation, members }),
    organizations,
    effect: right?.effect ?? 'deny',
    reason: right?.reason ?? '',
    grant: grant?.id ?? null,
    key: right?.key?.key.id ?? null,
    conditions: grant === null ? null : conditionsOf(grant),
    guardrails: isAllowed ? guardrailBounds(view, operation, principal.app) : [],
    limits: isAllowed ? limitBounds(view, principal, operation, organizations[0] ?? null) : [],
  }
}

/** Whom the grant is for, how long, and whether its removal is tried. */
function conditionsOf({ when, ending: { endsAtMs }, mode }: Grant): string | null {
  const parts = [
    ...(when === null ? [] : [describeCondition(when)]),
    ...(endsAtMs === null ? [] : [`until ${instantText(endsAtMs)}`]),
    ...(mode === 'warn' ? ['mode warn'] : []),
  ]
  return parts.length === 0 ? null : parts.join('; ')
}

/** When rights were last used, by what decision records say. */
export class LastUses {
  readonly #times = new Map<string, string>()
  readonly #named = new Set<string>()

  constructor({ rows }: Matrix) {
    for (const { organizations } of rows) for (const id of organizations) if (id !== null) this.#named.add(id)
  }

  /** Counts an allowed decision. */
  add(used: {
    readonly time: string
    readonly team: string
    readonly grant: string | null
    readonly operation: string
    readonly organizations: readonly string[]
  }): void {
    const places = used.organizations.length === 0 ? [null] : used.organizations
    for (const id of places) {
      const place = id === null || this.#named.has(id) ? id : anyOtherOrganization
      const key = keyOfUse(used.team, used.grant, used.operation, place)
      const known = this.#times.get(key)
      if (known === undefined || known < used.time) this.#times.set(key, used.time)
    }
  }

  /** The latest use of a row in one organization; null: none was recorded. */
  of({ team, grant, operation }: MatrixRow, organization: string | null): string | null {
    return this.#times.get(keyOfUse(team, grant, operation.split(' with ')[0] ?? operation, organization)) ?? null
  }
}

function keyOfUse(team: string, grant: string | null, operation: string, organization: string | null): string {
  return JSON.stringify([team, grant, operation, organization])
}
