// Applies all guardrails that bind a request; the tightest bound wins, whatever their order. The result keeps every
// bound, or the violations name the broken ones. Pure.

import { isJsonObject, type JsonObject, type StrictJson } from '../../json/value.ts'
import { quotedName } from '../../catalogue/name-folding.ts'
import type { CallerAttributes } from './attributes.ts'
import { violationsOf, type Site, type Violation } from './check.ts'
import type { Guardrail, BoundField, BoundGuardrails, Layer } from './guardrail.ts'
import {
  NoPlace,
  parametersByName,
  parameterText,
  valuesOf,
  visitPlaces,
  withParameter,
  type ParametersByName,
} from './places.ts'
import { defaultOf, addValues, type GuardrailChange } from './added-values.ts'
import { type Misspelling, misspelledIn } from '../model/name-tree.ts'

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
  /** Query parameters that the API documents for the operation. */
  readonly parameters: readonly string[]
}

/** The result for a request. With a violation it must not be sent. */
export interface Guarded {
  readonly request: GuardedRequest
  readonly changes: readonly GuardrailChange[]
  readonly violations: readonly Violation[]
}

/** What a guardrail in mode `shadow` or `warn` would have done. */
export interface ShadowGuardrailVerdict {
  readonly guardrail: string
  readonly mode: 'shadow' | 'warn'
  readonly changes: readonly GuardrailChange[]
  readonly violations: readonly Violation[]
}

export interface GuardrailVerdict extends Guarded {
  /** Every guardrail that binds the request. */
  readonly bound: readonly Guardrail[]
  readonly shadow: readonly ShadowGuardrailVerdict[]
  /**
   * Which guardrails need the caller's user at Devin, which was not looked up yet: then this result must not be used.
   */
  readonly wantsDevinUser: WantsDevinUser
}

/** Null: none. `shadow`: only guardrails in shadow mode, which must not stop a request. */
export type WantsDevinUser = 'enforced' | 'shadow' | null

/**
 * Applies the guardrails that bind a request. Rules on the body are looked at unless `site` is `query`: the body has not
 * been read then. An absent body counts as an empty object. Guardrails in shadow mode judge what the others made of it.
 */
export function applyRules(
  { all, enforced, shadow: tried }: BoundGuardrails,
  request: GuardedRequest,
  caller: CallerAttributes,
  sites: readonly Site[] = ['query', 'body'],
): GuardrailVerdict {
  const guarded = guard(enforced, request, caller, sites)
  const enforcedWants = caller.wantsDevinUser
  const shadow = tried.map((layer): ShadowGuardrailVerdict => {
    const { changes, violations } = guard(layer, guarded.request, caller, sites)
    const { id, mode } = layer.guardrail
    return { guardrail: id, mode: mode === 'warn' ? 'warn' : 'shadow', changes, violations }
  })
  const wantsDevinUser = enforcedWants ? 'enforced' : caller.wantsDevinUser ? 'shadow' : null
  return { ...guarded, bound: all, shadow, wantsDevinUser }
}

function guard(layer: Layer, request: GuardedRequest, caller: CallerAttributes, sites: readonly Site[]): Guarded {
  const findings = new Findings()
  const { granted } = request
  let { query, body } = request
  for (const { id, named } of granted.byName ? [] : layer.guardrails) {
    const text = `${granted.operation} must be granted by its id, and a pattern or a permission covers it`
    if (named) findings.broken([{ guardrail: id, in: 'grant', field: granted.operation, bound: 'grants', text }])
  }
  if (sites.includes('query') && (layer.query.length > 0 || layer.body.length > 0)) {
    const parameters = parametersByName(query)
    for (const parameter of layer.query) query = guardParameter(parameter, parameters, query, caller, findings)
    for (const [folded, bounds] of layer.bodyInQuery) {
      const misplaced = parameters.get(folded)?.find(({ spelled }) => !granted.parameters.includes(spelled))
      if (misplaced === undefined) continue
      const text = `${bounds.field} belongs into the body, and servers may read the parameter ${quotedName(misplaced.spelled)} as it`
      findings.broken([broken(bounds, 'query', 'spelling', text)])
    }
  }
  if (sites.includes('body') && layer.body.length > 0) body = guardBody(layer, body, caller, findings)
  const { changes, violations } = findings
  return { request: { query, body, granted }, changes, violations }
}

/** Callers choose how many places a `*` names: so many findings are kept, and a request that broke so much is refused. */
const maxFindings = 50

class Findings {
  readonly changes: GuardrailChange[] = []
  readonly violations: Violation[] = []

  get full(): boolean {
    return this.violations.length >= maxFindings
  }

  readonly changed = (changes: readonly GuardrailChange[]): void => {
    for (const change of changes) if (this.changes.length < maxFindings) this.changes.push(change)
  }

  readonly broken = (violations: readonly Violation[]): void => {
    for (const violation of violations) if (!this.full) this.violations.push(violation)
  }
}

function guardParameter(
  bounds: BoundField,
  parameters: ParametersByName,
  query: string,
  caller: CallerAttributes,
  findings: Findings,
): string {
  const name = bounds.field
  const read = valuesOf(parameters, name)
  if ('spelled' in read) {
    const spelled = read.spelled === name ? '' : `, as ${quotedName(read.spelled)}`
    const text = `the parameter ${name} is spelled so that servers may read it in different ways${spelled}`
    findings.broken([broken(bounds, 'query', 'spelling', text)])
    return query
  }
  const { values } = read
  const present = values.length === 0 ? undefined : values
  const put = bounds.putsNothing
    ? { value: present, changes: [] }
    : addValues(bounds, present, name, 'query', caller, defaultOf(bounds, 'query', caller, findings.broken))
  findings.changed(put.changes)
  findings.broken(violationsOf(bounds, put.value, name, 'query', caller))
  return put.changes.reduce((text, change) => withParameter(text, name, parameterText(change.value)), query)
}

function guardBody(
  { body: fields, names }: Layer,
  body: StrictJson | undefined,
  caller: CallerAttributes,
  findings: Findings,
): StrictJson | undefined {
  let document: StrictJson = body === undefined ? emptyObject : body
  if (!isJsonObject(document)) {
    findings.broken([broken(fields[0], 'body', 'object', 'the body must be a JSON object')])
    return body
  }
  const misspelled = misspelledIn(document, names)
  if (misspelled !== null) {
    findings.broken([broken(boundsOf(fields, misspelled), 'body', 'spelling', misspelledText(misspelled))])
    return body
  }
  for (const bounds of fields) {
    if (bounds.putsNothing) continue
    const absent = defaultOf(bounds, 'body', caller, findings.broken)
    try {
      document = visitPlaces(document, bounds.steps, (value, place) => {
        const put = addValues(bounds, value, place, 'body', caller, absent)
        findings.changed(put.changes)
        return put.value
      })
    } catch (error) {
      if (!(error instanceof NoPlace)) throw error
      const text = `${error.holder} must be an object that can hold ${bounds.field}`
      findings.broken([broken(bounds, 'body', 'object', text)])
    }
  }
  for (const bounds of fields) {
    visitPlaces(document, bounds.steps, (value, place) => {
      if (!findings.full) findings.broken(violationsOf(bounds, value, place, 'body', caller))
      return value
    })
  }
  return document === emptyObject ? body : document
}

/** The rules that a misspelled name gets past. */
function boundsOf(fields: readonly BoundField[], { name }: Misspelling): BoundField | undefined {
  return fields.find(({ steps }) => steps.includes(name))
}

function misspelledText({ spelled, name, holder }: Misspelling): string {
  const where = holder === '' ? '' : `${holder}.`
  return `${where}${name} is spelled ${quotedName(spelled)}, which servers may read in different ways`
}

/** A violation of a field's rules as a whole, in the name of the first of them. */
function broken(bounds: BoundField | undefined, site: Site, bound: string, text: string): Violation {
  const by = bounds?.rules[0]
  return { guardrail: by?.guardrail ?? '', in: site, field: by?.rule.field ?? '', bound, text }
}

const emptyObject: JsonObject = Object.freeze(Object.create(null) as JsonObject)
