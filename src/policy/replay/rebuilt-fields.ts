// Query and body of a recorded request, put together from what the record holds: values that rules compared, numbers, and texts
// and lists of the recorded length. Says which rules read a value that is not there. Pure.

import { isObject } from '../../json/untyped.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { undocumentedName } from '../decision/fence.ts'
import { checkedBodyOf, type CheckedBody } from '../decision/checked-body.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import type { BoundField } from '../guardrails/guardrail.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { RecordedDecision } from './recorded-decision.ts'

/** Stands for a text that the record does not hold. */
const standIn = 'as-recorded'
/** Records say texts up to this length and lists up to this many items whole. */
const wholeText = 128
const wholeList = 50

export class RebuiltFields {
  readonly #record: RecordedDecision
  readonly #operation: Operation
  readonly #body = Object.create(null) as Record<string, unknown>
  readonly #query = new Map<string, readonly string[]>()
  /** Fields of which the value is not known, at their top: `body.prompt`. */
  readonly #withheld = new Set<string>()
  #isList = false

  constructor(operation: Operation, record: RecordedDecision) {
    this.#record = record
    this.#operation = operation
    const { guardrails } = record
    const request = record.request ?? undefined
    for (const [name, value] of Object.entries(request?.query ?? {})) this.#putParameter(name, value)
    for (const [name, value] of Object.entries(request?.body ?? {})) this.#putMember(name, value)
    const read = guardrails?.read ?? {}
    for (const [place, value] of Object.entries(read)) {
      const dot = place.indexOf('.')
      const [site, field] = [place.slice(0, dot), place.slice(dot + 1)]
      const changes = this.#changesAt(site, field)
      if (changes.some(({ bound }) => bound === 'default')) continue
      const own = withoutAdded(value, changes.length)
      if (own === undefined) continue
      const ofRequest = site === 'query' ? request?.query : request?.body
      // The request itself may say more than the rule that read it.
      if (isWithheld(own) && ofRequest?.[field] !== undefined) continue
      if (site === 'query') this.#putParameter(field, own)
      else this.#putValue(field, own)
    }
    for (const { bound, in: site, place } of guardrails?.refused ?? [])
      if (bound === 'spelling' && place !== undefined) this.#misspell(site, place)
    this.#putNames()
    this.#putPermissions()
    this.#putOrganizations()
  }

  query(): string {
    return [...this.#query]
      .flatMap(([name, values]) => values.map((value) => `${encodedName(name)}=${encodeURIComponent(value)}`))
      .join('&')
  }

  body(): CheckedBody | null {
    if (this.#isList) return checkedBodyOf([])
    const isAbsent = Object.keys(this.#body).length === 0 && this.#record.request?.body === undefined
    return isAbsent || this.#record.request?.body === null ? null : checkedBodyOf(this.#body)
  }

  /** What the rules that bind the request read and the record does not hold. */
  unknownTo(policy: PolicySet, { decision, facts, needsBody, verdict }: Evaluation): readonly string[] {
    const { team, effect, reason } = decision
    if (team === null || needsBody || (effect === 'deny' && reason !== 'guardrail')) return []
    if (policy.guardrails.on(facts.operation) === undefined) return []
    const { enforced } = policy.guardrails.binding(facts.operation, team.id, facts.principal.app)
    const unknown = [
      ...enforced.query
        .filter((bounds) => this.#isUnknown('query', bounds))
        .map((bounds) => ['query', bounds] as const),
      ...enforced.body.filter((bounds) => this.#isUnknown('body', bounds)).map((bounds) => ['body', bounds] as const),
    ]
    const fields = new Set(unknown.map(([site, { field }]) => `${site} ${field}`))
    // One bound that is broken for sure refuses the request, whatever the others would say.
    const isRefused = (verdict?.violations ?? []).some(
      ({ in: site, field, guardrail }) => !fields.has(`${site} ${field}`) && guardrail !== '',
    )
    return isRefused ? [] : unknown.map(([, { field }]) => `the value of ${field}`)
  }

  #isUnknown(site: 'body' | 'query', bounds: BoundField): boolean {
    const { field, steps, rules } = bounds
    const [top = field] = site === 'query' ? [field] : steps
    const place = `${site}.${top}`
    if (site === 'body' && this.#record.request?.body === null) return false
    if (this.#withheld.has(place)) {
      // Whether it is there, its type and its length are known.
      const isNested = site === 'body' && steps.length > 1 && !this.#wasAsked(bounds)
      return isNested || rules.some(({ rule }) => comparesTexts(rule))
    }
    if (Object.hasOwn(site === 'query' ? Object.fromEntries(this.#query) : this.#body, top)) return false
    return !this.#isAbsent(site, bounds)
  }

  /** Whether the record says that the field was not there. */
  #isAbsent(site: 'body' | 'query', bounds: BoundField): boolean {
    const { request } = this.#record
    if (this.#wasAsked(bounds)) return true
    if (site === 'query') return request !== undefined && this.#operation.parameters.includes(bounds.field)
    return request?.body !== undefined && request.body !== null && !Object.hasOwn(request.body, '…')
  }

  /** Whether a guardrail that reads the field bound the request when it was recorded. */
  #wasAsked({ rules }: BoundField): boolean {
    const { applied, shadow } = this.#record.guardrails ?? {}
    const bound = new Set([...(applied ?? []), ...(shadow ?? []).map(({ guardrail }) => guardrail)])
    return rules.every(({ guardrail }) => bound.has(guardrail))
  }

  #changesAt(site: string, field: string): readonly { readonly bound?: string }[] {
    if (this.#record.effect !== 'allow') return []
    return (this.#record.guardrails?.changed ?? []).filter((change) => change.in === site && change.place === field)
  }

  #putParameter(name: string, value: unknown): void {
    const values = [value].flat()
    if (values.some(isWithheld)) {
      this.#withheld.add(`query.${name}`)
      this.#query.set(
        name,
        values.map((each) => (isWithheld(each) ? 'x'.repeat(lengthOf(each)) : String(each))),
      )
    } else {
      this.#withheld.delete(`query.${name}`)
      this.#query.set(name, values.map(String))
    }
  }

  /** A spelling that servers may read as the name, as the recorded one was. */
  #misspell(site: string | undefined, name: string): void {
    const spelled = name.toUpperCase()
    if (site === 'query') this.#query.set(spelled, [standIn])
    else setAt(this.#body, [spelled.split('.')[0] ?? spelled], standIn)
  }

  #putMember(name: string, value: unknown): void {
    if (name === '*') this.#isList = true
    else if (name !== '…') this.#putValue(name, value)
  }

  /** Puts a value at a dotted place, in which `*` stands for every member of a list. */
  #putValue(field: string, value: unknown): void {
    const steps = field.split('.')
    const top = `body.${steps[0] ?? ''}`
    const isPart = steps.length > 1
    const star = steps.indexOf('*')
    const values = star === -1 ? [value] : [value].flat()
    if (values.some(isWithheld) || (star !== -1 && values.length >= wholeList)) this.#withheld.add(top)
    else if (!isPart) this.#withheld.delete(top)
    for (const [index, each] of values.entries())
      setAt(
        this.#body,
        steps.map((step) => (step === '*' ? index : step)),
        rebuilt(each),
      )
  }

  /** Names that could be taken for others: the same name is refused again, for the same reason. */
  #putNames(): void {
    const { request, reason } = this.#record
    if (request?.undocumented !== undefined) this.#query.set(request.undocumented, [standIn])
    else if (reason === undocumentedName) this.#query.set('recorded_org', [standIn])
    const { doubtful } = request ?? {}
    if (doubtful?.name !== undefined) this.#misspell(doubtful.in, doubtful.name)
  }

  #putPermissions(): void {
    const wanted = new Set(this.#record.extra_permissions)
    const { conditional } = this.#operation
    for (const { field, when, permission } of conditional) {
      const isThere = wanted.has(permission) === (when === 'present')
      // Several fields ask for the same permission: one of them is enough.
      const hasAnother = conditional.some(
        (each) => each.permission === permission && each.when === when && Object.hasOwn(this.#body, each.field),
      )
      // A guardrail put it in: the request itself did not hold it.
      const isAdded = this.#changesAt('body', field).length > 0
      if (isThere && !hasAnother && !isAdded) setAt(this.#body, field.split('.'), standIn)
    }
  }

  #putOrganizations(): void {
    const { segment, query: places, body: bodyPlaces } = this.#operation.organizations
    const named = (this.#record.organizations ?? []).slice(segment === -1 ? 0 : 1)
    const known = [...this.#query].flatMap(([name, values]) => (name === 'org_id' || name === 'org_ids' ? values : []))
    const others = named.filter((id) => !known.includes(id) && !inBody(this.#body, id))
    const [bodyPlace] = bodyPlaces
    for (const [index, id] of others.entries()) {
      if (bodyPlace !== undefined && this.#operation.method !== 'GET')
        setAt(
          this.#body,
          bodyPlace.split('.').map((step) => (step === '*' ? index : step)),
          id,
        )
      else {
        const name = places.includes('org_ids') ? 'org_ids' : 'org_id'
        this.#query.set(name, [...(this.#query.get(name) ?? []), id])
      }
    }
  }
}

function inBody(body: Readonly<Record<string, unknown>>, id: string): boolean {
  return [body['org_id'], body['org_ids']].flat().includes(id)
}

function comparesTexts(rule: BoundField['rules'][number]['rule']): boolean {
  return (
    rule.equals !== null ||
    rule.oneOf !== null ||
    rule.matches !== null ||
    rule.eachMatches !== null ||
    rule.reserve.length > 0
  )
}

const withheldForm = /^\((?:text of (\d+)|list of (\d+)|object)\)$/

/** A list without what guardrails have put behind it; undefined where nothing is left. */
function withoutAdded(value: unknown, added: number): unknown {
  if (added === 0) return value
  if (Array.isArray(value)) return value.length > added ? value.slice(0, -added) : undefined
  const left = lengthOf(value) - added
  return left > 0 ? `(list of ${left})` : undefined
}

/** Secrets are masked in records, and characters that would not be seen are written as escapes. */
const altered = /\[masked\]|\\u/

/** Records hold the type and length of texts that may be long or secret. */
function isWithheld(value: unknown): boolean {
  if (Array.isArray(value)) return value.length >= wholeList || value.some(isWithheld)
  if (typeof value !== 'string') return false
  return withheldForm.test(value) || altered.test(value) || value.length >= wholeText
}

/** Longer ones are longer than every bound that is written. */
const longest = 1_000_000

function lengthOf(value: unknown): number {
  const found = withheldForm.exec(String(value))
  return Math.min(Number(found?.[1] ?? found?.[2] ?? String(value).length), longest)
}

/** A value of the same type and length. */
function rebuilt(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rebuilt)
  if (typeof value !== 'string') return value
  const form = withheldForm.exec(value)
  if (form === null) return value
  if (form[1] !== undefined) return 'x'.repeat(lengthOf(value))
  return form[2] === undefined ? {} : Array.from({ length: Math.min(lengthOf(value), 10_000) }, () => standIn)
}

/** Names in a query stay as they were spelled, escapes and all. */
function encodedName(name: string): string {
  return /^[\w.~%[\]:$-]+$/.test(name) ? name : encodeURIComponent(name)
}

/** Puts a value at a place; numbers are places in lists. */
function setAt(
  holder: Record<string, unknown> | unknown[],
  [step = '', ...rest]: readonly (string | number)[],
  value: unknown,
): void {
  const place = String(step)
  if (rest.length === 0) {
    Reflect.set(holder, place, value)
    return
  }
  const before: unknown = Object.hasOwn(holder, place) ? Reflect.get(holder, place) : undefined
  const isList = typeof rest[0] === 'number'
  const isFit = isList ? Array.isArray(before) : isObject(before)
  const inner = isFit ? (before as Record<string, unknown> | unknown[]) : isList ? [] : {}
  Reflect.set(holder, place, inner)
  setAt(inner, rest, value)
}
