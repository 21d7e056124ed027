// The guardrails that bind a request, applied to it: all of them, the tightest wins, in whatever order they were
// written. What comes out keeps every bound, or the violations say which one it breaks. Pure.

import { isJsonObject, type JsonObject, type StrictJson } from '../json-value.ts'
import type { CallerAttributes } from './attributes.ts'
import { violationsOf, type BoundRule, type Site, type Violation } from './check.ts'
import type { Guardrail, Rule } from './guardrail.ts'
import { NoPlace, parameterText, parameterValues, visitPlaces, withParameter } from './places.ts'
import { defaultOf, putIn, type Change } from './put-in.ts'

/** What rules look at: the query without its question mark, the JSON body (undefined for none), and the grant. */
export interface GuardedRequest {
  readonly query: string
  readonly body: StrictJson | undefined
  readonly granted: Granted
}

/** How the operation was granted. */
export interface Granted {
  readonly operation: string
  /** Whether a grant of the team names it by its id. */
  readonly byName: boolean
}

/** What became of a request. With a violation it must not be sent. */
export interface Guarded {
  readonly request: GuardedRequest
  readonly changes: readonly Change[]
  readonly violations: readonly Violation[]
}

/** What a guardrail in shadow mode would have done. */
export interface ShadowVerdict {
  readonly guardrail: string
  readonly changes: readonly Change[]
  readonly violations: readonly Violation[]
}

export interface Verdict extends Guarded {
  /** Every guardrail that binds the request. */
  readonly bound: readonly Guardrail[]
  readonly shadow: readonly ShadowVerdict[]
  /** Who asked for the caller's user at Devin, which nobody has looked up: then nothing of this may be used. */
  readonly wantsDevinUser: WantsDevinUser
}

/** Null: nobody. `shadow`: only guardrails in shadow mode, which must not keep a request from going on. */
export type WantsDevinUser = 'enforced' | 'shadow' | null

/**
 * Applies the guardrails that bind a request. Rules on the body are looked at unless `site` is `query`: the body has not
 * been read then. An absent body counts as an empty object. Guardrails in shadow mode judge what the others made of it.
 */
export function applyGuardrails(
  guardrails: readonly Guardrail[],
  request: GuardedRequest,
  caller: CallerAttributes,
  sites: readonly Site[] = ['query', 'body'],
): Verdict {
  const enforced = guardrails.filter(({ mode }) => mode === 'enforce')
  const guarded = guard(enforced, request, caller, sites)
  const enforcedWants = caller.wantsDevinUser
  const shadow = guardrails
    .filter(({ mode }) => mode === 'shadow')
    .map((each) => {
      const { changes, violations } = guard([each], guarded.request, caller, sites)
      return { guardrail: each.id, changes, violations }
    })
  const wantsDevinUser = enforcedWants ? 'enforced' : caller.wantsDevinUser ? 'shadow' : null
  return { ...guarded, bound: guardrails, shadow, wantsDevinUser }
}

function guard(
  guardrails: readonly Guardrail[],
  request: GuardedRequest,
  caller: CallerAttributes,
  sites: readonly Site[],
): Guarded {
  const findings = new Findings()
  const { granted } = request
  let { query, body } = request
  for (const { id, named } of granted.byName ? [] : guardrails) {
    const text = `${granted.operation} must be granted by its id, and a pattern or a permission covers it`
    if (named) findings.broken([{ guardrail: id, in: 'grant', field: granted.operation, bound: 'grants', text }])
  }
  if (sites.includes('query')) {
    for (const [name, rules] of byField(guardrails, 'query'))
      query = guardParameter(name, rules, query, caller, findings)
  }
  if (sites.includes('body')) {
    const fields = byField(guardrails, 'body')
    if (fields.size > 0) body = guardBody(fields, body, caller, findings)
  }
  const { changes, violations } = findings
  return { request: { query, body, granted }, changes, violations }
}

/** Callers choose how many places a `*` names: so many findings are kept, and a request that broke so much is refused. */
const mostTold = 50

class Findings {
  readonly changes: Change[] = []
  readonly violations: Violation[] = []

  get full(): boolean {
    return this.violations.length >= mostTold
  }

  readonly changed = (changes: readonly Change[]): void => {
    for (const change of changes) if (this.changes.length < mostTold) this.changes.push(change)
  }

  readonly broken = (violations: readonly Violation[]): void => {
    for (const violation of violations) if (!this.full) this.violations.push(violation)
  }
}

function guardParameter(
  name: string,
  rules: readonly BoundRule[],
  query: string,
  caller: CallerAttributes,
  findings: Findings,
): string {
  const values = parameterValues(query, name)
  if (values === 'ambiguous') {
    const text = `the parameter ${name} is spelled so that servers may read it in different ways`
    findings.broken([broken(rules, 'query', 'spelling', text)])
    return query
  }
  const present = values.length === 0 ? undefined : values
  const put = isForbidden(name, new Map([[name, rules]]))
    ? { value: present, changes: [] }
    : putIn(rules, present, name, 'query', caller, defaultOf(rules, name, 'query', caller, findings.broken))
  findings.changed(put.changes)
  findings.broken(violationsOf(rules, put.value, name, 'query', caller))
  return put.changes.reduce((text, change) => withParameter(text, name, parameterText(change.value)), query)
}

function guardBody(
  fields: ReadonlyMap<string, readonly BoundRule[]>,
  body: StrictJson | undefined,
  caller: CallerAttributes,
  findings: Findings,
): StrictJson | undefined {
  let document: StrictJson = body === undefined ? emptyObject : body
  if (!isJsonObject(document)) {
    findings.broken([broken([...fields.values()].flat(), 'body', 'object', 'the body must be a JSON object')])
    return body
  }
  for (const [field, rules] of fields) {
    if (isForbidden(field, fields)) continue
    const absent = defaultOf(rules, field, 'body', caller, findings.broken)
    try {
      document = visitPlaces(document, field, (value, place) => {
        const put = putIn(rules, value, place, 'body', caller, absent)
        findings.changed(put.changes)
        return put.value
      })
    } catch (error) {
      if (!(error instanceof NoPlace)) throw error
      findings.broken([broken(rules, 'body', 'object', `${error.holder} must be an object that can hold ${field}`)])
    }
  }
  for (const [field, rules] of fields) {
    visitPlaces(document, field, (value, place) => {
      if (!findings.full) findings.broken(violationsOf(rules, value, place, 'body', caller))
      return value
    })
  }
  return document === emptyObject ? body : document
}

/** A violation of a field's rules as a whole, in the name of the first of them. */
function broken([by]: readonly BoundRule[], site: Site, bound: string, text: string): Violation {
  return { guardrail: by?.guardrail ?? '', in: site, field: by?.rule.field ?? '', bound, text }
}

const emptyObject: JsonObject = Object.freeze(Object.create(null) as JsonObject)

/** The rules of all guardrails by field, parents before what they hold; inside a field sorted by guardrail. */
function byField(guardrails: readonly Guardrail[], site: Site): ReadonlyMap<string, readonly BoundRule[]> {
  const found = new Map<string, BoundRule[]>()
  const add = (rule: Rule, guardrail: string): void => {
    const list = found.get(rule.field)
    if (list === undefined) found.set(rule.field, [{ rule, guardrail }])
    else list.push({ rule, guardrail })
  }
  for (const { id, [site]: rules } of guardrails.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
    for (const rule of rules) add(rule, id)
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Nothing is put where a guardrail wants nothing, there or in what would hold it. */
function isForbidden(field: string, rules: ReadonlyMap<string, readonly BoundRule[]>): boolean {
  const steps = field.split('.')
  return steps.some((_, index) =>
    (rules.get(steps.slice(0, index + 1).join('.')) ?? []).some(({ rule }) => rule.forbid),
  )
}
