// A second, obvious comparison of two policy sets: random whole requests, decided under both by the evaluation that serves
// requests, and held against what the comparison reports. Random sets, callers and requests come from one seed.

import type { Operation } from '../../src/catalogue/operation.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import type { Principal } from '../../src/identity/principal.ts'
import { explain } from '../../src/policy/tools/explain.ts'
import { principalFrom } from '../../src/policy/tools/suite.ts'
import { comparisonData, type ChangeData } from '../../src/policy/comparison/report.ts'
import { comparePolicies, type RightChange } from '../../src/policy/comparison/compare.ts'
import { checkedBodyOf } from '../../src/policy/decision/checked-body.ts'
import { sampleDevinUser } from '../../src/policy/cells/requests.ts'
import { evaluate } from '../../src/policy/decision/evaluate.ts'
import { conditionHolds, describeCondition } from '../../src/policy/model/condition.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import { catalogue, policyFrom, principalOf, type PolicyFiles } from '../support/policies.ts'

/** Draws from a seed; equal seeds draw alike. */
export class Draw {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  number(): number {
    this.#state = (this.#state + 0x6d_2b_79_f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  below(most: number): number {
    return Math.floor(this.number() * most)
  }

  chance(probability: number): boolean {
    return this.number() < probability
  }

  one<T>(values: readonly T[]): T {
    if (values.length === 0) throw new Error('nothing to draw from')
    return values[this.below(values.length)] as T
  }

  some<T>(values: readonly T[], least: number, most: number): readonly T[] {
    const left = [...values]
    const count = Math.min(left.length, least + this.below(most - least + 1))
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0] as T)
  }
}

interface Cond {
  groups?: readonly string[]
  app?: readonly string[]
  subject?: readonly string[]
  email?: readonly string[]
  issuer?: readonly string[]
  actor?: readonly string[]
  delegated?: boolean
  claims?: Record<string, readonly string[]>
}

interface DrawnGrant {
  id: string
  allow: readonly string[]
  when?: Cond
  organizations?: readonly string[]
  mode: string
}

interface DrawnTeam {
  team: string
  members: Cond[]
  organizations: 'all' | readonly string[]
  default_organization?: string
  grants: DrawnGrant[]
  limits?: Record<string, unknown>
}

interface DrawnKey {
  id: string
  scope: 'organization' | 'enterprise'
  organization?: string
  permissions: readonly string[]
  serves_organizations?: string | readonly string[]
  secret: { env: string }
}

interface DrawnGuardrail {
  id: string
  on: readonly string[]
  teams: 'all' | readonly string[]
  apps: 'all' | readonly string[]
  grants?: 'named'
  mode: string
  body: Record<string, unknown>
  query: Record<string, unknown>
  response?: Record<string, unknown>
}

interface DrawnSet {
  teams: DrawnTeam[]
  keys: DrawnKey[]
  guardrails: DrawnGuardrail[]
  organizations: { organization: string; acus: string }[]
  writes: string | null
}

const organizations = ['org-a', 'org-b', 'org-c']
const named = [
  'org.sessions.create',
  'org.sessions.messages.send',
  'org.sessions.list',
  'org.schedules.update',
  'beta.org.blueprints.create',
  'org.secrets.delete',
  'org.playbooks.list',
  'ent.sessions.list',
  'ent.sessions.get',
  'ent.sessions.messages.send',
  'ent.sessions.tags.append',
  'ent.org-group-limits.replace',
  'beta.ent.acu-limits.organizations.update',
  'ent.metrics.usage.get',
  'ent.code-scans.list',
  'ent.organizations.get',
  'ent.organizations.list',
  'self.get',
].flatMap((id) => catalogue.operation(id) ?? [])
const permissions = [
  ...new Set(
    named.flatMap(({ permission, conditional }) => [permission, ...conditional.map((each) => each.permission)]),
  ),
].flatMap((name) => name ?? [])
const enterprise = permissions.flatMap((name) => catalogue.permissions.impliedBy(name))
const words = [
  ...permissions,
  ...permissions,
  ...new Set(enterprise),
  ...named.filter(({ open }) => !open).map(({ id }) => id),
  'org.*',
  'org.sessions.*',
  'ent.sessions.*',
  'ent.sessions.*',
  'ent.*',
]
const allPermissions = [...new Set([...permissions, ...enterprise])]

function condition(draw: Draw, team: string, isMember: boolean): Cond {
  const each = (value: string) => `${value}-${team}`
  const result: Cond = {}
  const kinds = draw.some(['groups', 'groups', 'app', 'subject', 'email', 'issuer', 'actor', 'claims'] as const, 1, 2)
  for (const kind of kinds) {
    if (kind === 'claims') {
      const path = draw.one(['org.unit', 'scope', String.raw`kube\.io.ns`])
      result.claims = { [path]: draw.some(['red', '7', 'true'].map(each), 1, 2) }
    } else
      result[kind] = draw.some(
        ['1', '2', '3'].map((value) => each(kind + value)),
        1,
        2,
      )
  }
  if (result.actor === undefined && draw.chance(isMember ? 0.1 : 0.25)) result.delegated = draw.chance(0.5)
  return result
}

function grant(draw: Draw, team: string, fence: DrawnTeam['organizations'], index: number): DrawnGrant {
  const narrowed = draw.chance(0.35) ? draw.some(fence === 'all' ? organizations : fence, 1, 2) : null
  return {
    id: `g${index}`,
    allow: draw.some(words, 1, 3),
    ...(draw.chance(0.45) ? { when: condition(draw, team, false) } : {}),
    ...(narrowed === null ? {} : { organizations: narrowed }),
    mode: draw.one(['enforce', 'enforce', 'enforce', 'enforce', 'enforce', 'warn', 'shadow', 'off']),
  }
}

function limits(draw: Draw, team: string): Record<string, unknown> {
  const rules = () => ({
    ...(draw.chance(0.5) ? { requests: draw.one(['60/min', '90/min']) } : {}),
    ...(draw.chance(0.3) ? { writes: draw.one(['5/min', '9/min']) } : {}),
    ...(draw.chance(0.3) ? { sessions: draw.one(['5/day', '9/min']) } : {}),
    ...(draw.chance(0.3) ? { acus: draw.one(['50/month', '90/month']) } : {}),
  })
  return {
    ...rules(),
    ...(draw.chance(0.3) ? { concurrent: draw.one([3, 4]) } : {}),
    ...(draw.chance(0.3) ? { attempts: draw.one(['20/min', '30/min']) } : {}),
    ...(draw.chance(0.4) ? { apps: { [`app1-${team}`]: rules(), [`app9-${team}`]: rules() } } : {}),
    ...(draw.chance(0.2) ? { per_principal: rules() } : {}),
    ...(draw.chance(0.3) ? { operations: { [draw.one(['org.sessions.*', 'ent.sessions.list'])]: rules() } } : {}),
  }
}

function team(draw: Draw, id: string): DrawnTeam {
  const fence = draw.chance(0.25) ? 'all' : draw.some(organizations, 1, 3)
  return {
    team: id,
    members: Array.from({ length: 1 + draw.below(2) }, () => condition(draw, id, true)),
    organizations: fence,
    ...(draw.chance(0.5) ? { default_organization: draw.one(fence === 'all' ? organizations : fence) } : {}),
    grants: Array.from({ length: 1 + draw.below(4) }, (_, index) => grant(draw, id, fence, index)),
    ...(draw.chance(0.4) ? { limits: limits(draw, id) } : {}),
  }
}

function key(draw: Draw, index: number): DrawnKey {
  const own = draw.chance(0.5) ? draw.one(organizations) : null
  const held = draw.some(allPermissions, 1, 8)
  const secret = { env: 'KEY' }
  const usual =
    own === null
      ? ['ViewAccountSessions', 'ManageAccountSessions', 'ManageOrganizations']
      : ['ViewOrgSessions', 'ManageOrgSessions']
  const all = [...new Set([...held.filter((name) => own === null || isOfOrganization(name)), ...usual])]
  return own === null
    ? {
        id: `k${index}`,
        scope: 'enterprise',
        permissions: all,
        serves_organizations: draw.one(['none', 'all', draw.some(organizations, 1, 2)]),
        secret,
      }
    : { id: `k${index}`, scope: 'organization', organization: own, permissions: all, secret }
}

function isOfOrganization(name: string): boolean {
  return catalogue.permissions.implies(name) === null && !enterprise.includes(name)
}

function guardrail(draw: Draw, teams: readonly string[], index: number): DrawnGuardrail {
  const kind = draw.one(['create', 'create', 'list', 'answer', 'answer', 'named', 'message'] as const)
  const base = {
    id: `r${index}`,
    teams: draw.chance(0.7) ? ('all' as const) : draw.some(teams, 1, 1),
    apps: draw.chance(0.7) ? ('all' as const) : draw.some(teams, 1, 1).map((name) => `app${1 + draw.below(2)}-${name}`),
    mode: draw.one(['enforce', 'enforce', 'enforce', 'enforce', 'warn', 'shadow', 'off']),
  }
  const maybe = (name: string, rule: unknown): Record<string, unknown> => (draw.chance(0.4) ? { [name]: rule } : {})
  switch (kind) {
    case 'create':
      return {
        ...base,
        on: ['org.sessions.create'],
        query: {},
        body: {
          max_acu_limit: draw.one([
            { at_most: draw.one([5, 8]) },
            { at_least: 2, at_most: draw.one([5, 8]) },
            { default: 3, at_most: 5 },
            { require: true },
            { one_of: [1, 5] },
          ]),
          ...maybe('title', draw.one([{ max_length: draw.one([3, 5]) }, { equals: 'abc' }, { matches: 'ab*' }])),
          ...maybe(
            'tags',
            draw.one([{ add: [draw.one(['team:${team}', 'x'])] }, { max_items: 1 }, { reserve: ['team:'] }]),
          ),
          ...maybe('bypass_approval', { forbid: true }),
          ...maybe(
            'create_as_user_id',
            draw.one([
              { forbid: true },
              { default: 'user-1' },
              { require: true },
              { equals: 'principal.devin_user_id' },
              { default: 'principal.devin_user_id' },
            ]),
          ),
        },
      }
    case 'message':
      return {
        ...base,
        on: ['org.sessions.messages.send', 'ent.sessions.messages.send'],
        query: {},
        body: { message: draw.one([{ max_length: 4 }, { require: true }, { max_length: 4, require: true }]) },
      }
    case 'list':
      return {
        ...base,
        on: draw.some(['ent.sessions.list', 'org.sessions.list', 'ent.metrics.usage.get'], 1, 2),
        body: {},
        query: draw.one([
          { org_ids: { default: draw.one(organizations) } },
          { org_ids: { one_of: draw.some(organizations, 1, 2) } },
          { first: { at_most: draw.one([10, 20]) } },
          { first: { default: 10, at_most: 20 } },
          { first: { forbid: true } },
        ]),
      }
    case 'answer':
      return {
        ...base,
        on: draw.some(['ent.sessions.list', 'ent.sessions.get', 'ent.organizations.list'], 1, 3),
        body: {},
        query: {},
        mode: base.mode === 'warn' ? 'enforce' : base.mode,
        response: draw.one([
          { filter_items_by: 'organizations' },
          { filter_items_by: 'organizations', fields: ['title'] },
          { fields: ['title'] },
        ]),
      }
    case 'named':
      return { ...base, on: [draw.one(['org.sessions.*', 'ent.sessions.list'])], body: {}, query: {}, grants: 'named' }
  }
}

function drawnSet(draw: Draw): DrawnSet {
  const teams = ['one', 'two']
  return {
    teams: teams.map((id) => team(draw, id)),
    keys: Array.from({ length: 2 + draw.below(4) }, (_, index) => key(draw, index)),
    guardrails: Array.from({ length: draw.below(4) }, (_, index) => guardrail(draw, teams, index)),
    organizations: draw.chance(0.2)
      ? [{ organization: draw.one(organizations), acus: draw.one(['70/month', '80/month']) }]
      : [],
    writes: draw.chance(0.2) ? draw.one(['100/min', '200/min']) : null,
  }
}

/** Another set, or the same with a few edits, as policies change. */
function edited(draw: Draw, set: DrawnSet): DrawnSet {
  if (draw.chance(0.1)) return drawnSet(draw)
  const copy = structuredClone(set)
  for (let edits = 1 + draw.below(3); edits > 0; edits -= 1) edit(draw, copy)
  return copy
}

function edit(draw: Draw, set: DrawnSet): void {
  const chosen = draw.one(set.teams)
  const fence = chosen.organizations
  const names = set.teams.map(({ team: id }) => id)
  const position = draw.below(chosen.grants.length)
  switch (draw.below(9)) {
    case 0:
      chosen.grants[position] = grant(draw, chosen.team, fence, 10 + draw.below(90))
      break
    case 1: {
      const changed = chosen.grants[position]
      if (changed === undefined) break
      const { organizations: _all, ...rest } = changed
      chosen.grants[position] = draw.chance(0.5)
        ? rest
        : { ...rest, organizations: draw.some(fence === 'all' ? organizations : fence, 1, 3) }
      break
    }
    case 2:
      chosen.members.splice(draw.below(chosen.members.length), 1, condition(draw, chosen.team, true))
      break
    case 3:
      set.keys[draw.below(set.keys.length)] = key(draw, draw.below(9))
      set.keys = [...new Map(set.keys.map((each) => [each.id, each])).values()]
      break
    case 4:
      chosen.limits = limits(draw, chosen.team)
      break
    case 5:
      set.guardrails = [...set.guardrails.slice(0, 2), guardrail(draw, names, 7 + draw.below(90))]
      break
    case 6:
      set.guardrails.pop()
      break
    case 7: {
      // The same rights in other words: what one grant allowed in two organizations is split.
      const split = chosen.grants[position]
      if (split === undefined) break
      const reach = split.organizations ?? (fence === 'all' ? organizations : fence)
      chosen.grants.splice(
        position,
        1,
        ...reach.map((id, index) => ({ ...split, id: `${split.id}-${index}`, organizations: [id] })),
      )
      break
    }
    case 8:
      set.organizations = draw.chance(0.5) ? [] : [{ organization: 'org-a', acus: '99/month' }]
      break
  }
}

function filesOf(set: DrawnSet): PolicyFiles {
  const json = (value: unknown): string => JSON.stringify(value)
  return {
    ...Object.fromEntries(set.teams.map((each) => [`teams/${each.team}.yaml`, json(each)])),
    'keys.yaml': json({ keys: set.keys }),
    ...(set.guardrails.length === 0 ? {} : { 'guardrails.yaml': json({ guardrails: set.guardrails }) }),
    ...(set.writes === null && set.organizations.length === 0
      ? {}
      : {
          'limits.yaml': json({
            limits: {
              ...(set.writes === null ? {} : { writes: set.writes }),
              organizations: Object.fromEntries(
                set.organizations.map(({ organization, acus }) => [organization, { acus }]),
              ),
            },
          }),
        }),
  }
}

/** Mostly a member, and mostly one for whom the condition of a grant holds. */
function caller(draw: Draw, { team, members, grants }: DrawnTeam): Principal {
  const wanted = [
    ...(draw.chance(0.85) ? [draw.one(members)] : []),
    ...(grants.length > 0 && draw.chance(0.5) ? [draw.one(grants).when ?? {}] : []),
  ]
  return wanted.reduce((who, each) => fulfilling(draw, who, each), anyCaller(draw, team))
}

function fulfilling(draw: Draw, who: Principal, { groups, claims, delegated, actor, ...others }: Cond): Principal {
  const single = Object.fromEntries(Object.entries(others).map(([name, values]) => [name, draw.one(values)]))
  const inClaims = Object.entries(claims ?? {}).map(([path, values]) => [path, draw.one(values)])
  const acting =
    actor !== undefined
      ? draw.one(actor)
      : delegated === undefined
        ? who.actor
        : delegated
          ? (who.actor ?? 'agent')
          : null
  return {
    ...who,
    ...single,
    groups: groups === undefined ? who.groups : [...who.groups, draw.one(groups)],
    actor: acting,
    claims: { ...who.claims, ...Object.fromEntries(inClaims) },
  }
}

function anyCaller(draw: Draw, team: string): Principal {
  const each = (value: string) => `${value}-${team}`
  const value = (name: string): string | null =>
    draw.chance(0.6) ? each(`${name}${1 + draw.below(3)}`) : draw.chance(0.5) ? 'other' : null
  const claims: Record<string, unknown> = {}
  const unit = draw.one<unknown>(['red', 'true', ['red', '7'], ['true', 'x'], null, undefined])
  const spelled = (found: unknown): unknown => (typeof found === 'string' ? each(found) : found)
  if (unit !== undefined) claims['org'] = { unit: Array.isArray(unit) ? unit.map(spelled) : spelled(unit) }
  if (draw.chance(0.5)) claims['scope'] = draw.some(['red', '7', 'true', 'other'], 1, 3).map(each).join(' ')
  if (draw.chance(0.5)) claims['kube.io'] = { ns: each(draw.one(['red', '7', 'other'])) }
  return principalOf({
    subject: value('subject') ?? 'somebody',
    issuer: value('issuer') ?? 'https://elsewhere.example',
    email: value('email'),
    groups: [...draw.some(['groups1', 'groups2', 'groups3', 'other'], 0, 3)].map(each),
    app: value('app'),
    actor: draw.chance(0.4) ? value('actor') : null,
    claims,
  })
}

interface FullRequest {
  readonly operation: Operation
  readonly address: string
  readonly body: unknown
  /** Organizations that it names where the API knows such a name. */
  readonly organizations: readonly string[]
}

function request(draw: Draw, operation: Operation, places: readonly string[]): FullRequest {
  const inPath = operation.organizations.segment === -1 ? [] : [draw.one(places)]
  const path = operation.segments
    .map((segment, index) =>
      !segment.startsWith('{') ? segment : index === operation.organizations.segment ? inPath[0] : 'x1',
    )
    .join('/')
  const query: string[] = []
  const [parameter] = operation.organizations.query
  const several = parameter === 'org_ids' ? 3 : 1
  const inQuery = parameter !== undefined && draw.chance(0.7) ? draw.some(places, 1, several) : []
  for (const id of inQuery) query.push(`${parameter}=${id}`)
  if (operation.method === 'GET' && draw.chance(0.3) && operation.parameters.includes('first'))
    query.push(`first=${draw.one(['5', '10', '15', '25', 'x'])}`)
  const body: Record<string, unknown> = {}
  const maybe = (name: string, ...values: readonly unknown[]): void => {
    if (draw.chance(0.4)) body[name] = draw.one(values)
  }
  let inBody: readonly string[] = []
  if (operation.method !== 'GET') {
    for (const { field } of operation.conditional)
      if (draw.chance(0.3)) body[field] = draw.one(['user-1', 'user-2', sampleDevinUser.id])
    const [place] = operation.organizations.body
    if (place !== undefined && draw.chance(0.7)) {
      if (place === 'groups.*.org_ids.*') {
        inBody = draw.some(places, 1, 3)
        body['groups'] = [{ org_ids: inBody }]
      } else {
        inBody = [draw.one(places)]
        body['local_agent'] = { billing_org_id: inBody[0] }
      }
    }
    if (operation.id === 'org.sessions.create') {
      maybe('max_acu_limit', 1, 2, 3, 5, 6, 9, '5')
      maybe('title', 'abc', 'abcd', 'abcdefg', 7)
      maybe('tags', [], ['team:one'], ['a', 'b'], 'a')
      maybe('bypass_approval', true, null)
    }
    maybe('message', 'hey', 'long text', null)
  }
  return {
    operation,
    address: `/${path}${query.length === 0 ? '' : `?${query.join('&')}`}`,
    body: Object.keys(body).length === 0 ? null : body,
    organizations: [...inPath, ...inQuery, ...inBody],
  }
}

interface Outcome {
  readonly isAllowed: boolean
  readonly key: string
  readonly filter: string
  readonly sent: string
  readonly limits: string
}

function outcomeOf(policy: PolicySet, principal: Principal, { operation, address, body }: FullRequest): Outcome {
  const {
    decision,
    key: choice,
    target,
    body: sent,
    facts,
  } = evaluate(
    policy,
    principal,
    operation,
    parseTarget(address),
    body === null ? null : checkedBodyOf(body),
    sampleDevinUser,
  )
  if (decision.effect === 'deny' || choice === null || decision.team === null)
    return { isAllowed: false, key: '', filter: '', sent: '', limits: '' }
  const { team: charged } = decision
  const attempts = operation.method === 'GET' || !charged.attempts.isStated ? [] : [charged.attempts.of(principal)]
  const budgets =
    operation.id === 'org.sessions.create' ? policy.budgets.of(charged.id, principal, facts.organization) : []
  const plain = [...charged.limitsFor(principal, operation), ...attempts].map((each) => ({ ...each, meter: null }))
  const spent = budgets.map((each) => ({ ...each, account: null, file: null }))
  return {
    isAllowed: true,
    key: `${choice.key.id} ${choice.key.scope} ${choice.key.organization ?? ''}`,
    filter: decision.response?.digest ?? '',
    sent: `${target.query} ${sent?.bytes.toString() ?? ''}`,
    limits: [...plain, ...spent]
      .map((each) => JSON.stringify(each))
      .sort()
      .join('\n'),
  }
}

/** Which kinds of changes may stand for the difference of a request; empty where it does not differ. */
function differenceOf(from: Outcome, to: Outcome): readonly (readonly string[])[] {
  if (!from.isAllowed && !to.isAllowed) return []
  if (from.isAllowed !== to.isAllowed) return [[to.isAllowed ? 'gained' : 'lost', 'guardrail']]
  return [
    ...(from.key === to.key ? [] : [['key', 'guardrail']]),
    ...(from.filter === to.filter ? [] : [['filter', 'guardrail']]),
    ...(from.sent === to.sent ? [] : [['guardrail']]),
    ...(from.limits === to.limits ? [] : [['limit']]),
  ]
}

const isSame = (one: Principal, other: Principal, { allCallers }: RightChange): boolean =>
  allCallers.conditions.every((each) => conditionHolds(each, one) === conditionHolds(each, other))

function covers(change: RightChange, kinds: readonly string[], who: Principal, asked: FullRequest): boolean {
  const { request: sample, organizations: places, callers } = change
  if (!kinds.includes(change.change) || sample.operation !== asked.operation) return false
  if (!callers.some(({ principal }) => isSame(principal, who, change))) return false
  const needs = (has: (field: string) => boolean): string =>
    asked.operation.conditional
      .filter(({ field, when }) => has(field) === (when === 'present'))
      .map(({ permission }) => permission)
      .sort()
      .join(' ')
  const inBody = (field: string): boolean =>
    asked.body !== null && typeof asked.body === 'object' && (asked.body as Record<string, unknown>)[field] != null
  if (
    change.change !== 'guardrail' &&
    change.change !== 'limit' &&
    new Set(needs(inBody).split(' ')).size !== new Set(needs((field) => sample.members.includes(field)).split(' ')).size
  )
    return false
  if (asked.organizations.length === 0) return places.includes(null)
  return places.some((id) => id !== null && asked.organizations.some((each) => id.split(' and ').includes(each)))
}

export interface Proof {
  requests: number
  differing: number
  readonly kinds: Record<string, number>
  changes: number
  refused: number
}

export function newProof(): Proof {
  return { requests: 0, differing: 0, kinds: {}, changes: 0, refused: 0 }
}

/** Compares one random pair both ways round, and each set with itself. Throws where the ways differ, or equal sets do. */
export function proveMirror(seed: number): number {
  const draw = new Draw(seed)
  const one = drawnSet(draw)
  const nameOf = (file: string): string => file
  const [from, to] = [one, edited(draw, one)].map((set) => ({ policy: policyFrom(filesOf(set)), nameOf }))
  if (from === undefined || to === undefined) return 0
  const there = comparePolicies(from, to).changes
  const turned: Readonly<Record<string, string>> = { gained: 'lost', lost: 'gained' }
  // Each class of callers by the conditions that hold for it: what stands for it may be another caller.
  const plain = (changes: readonly RightChange[], isTurned: boolean): readonly string[] =>
    changes.flatMap(({ change, team, callers, allCallers, request: sample, organizations: places, ...sides }) =>
      callers.flatMap(({ principal }) => {
        const held = allCallers.conditions.filter((each) => conditionHolds(each, principal)).map(describeCondition)
        return places.map((place) =>
          JSON.stringify([
            isTurned ? (turned[change] ?? change) : change,
            team,
            held.toSorted(),
            sample.operation.id,
            sample.members,
            place,
            ...(isTurned ? [sides.to, sides.from] : [sides.from, sides.to]),
          ]),
        )
      }),
    )
  const [forth, back] = [plain(there, false), plain(comparePolicies(to, from).changes, true)]
  const alone = [from, to].flatMap((set) => comparePolicies(set, set).changes)
  if (alone.length > 0) throw new Error(`seed ${seed}: a set differs from itself in ${alone.length} ways`)
  const [left, right] = [new Set(forth), new Set(back)]
  const unmatched = [...forth.filter((each) => !right.has(each)), ...back.filter((each) => !left.has(each))]
  if (unmatched.length > 0) throw new Error(`seed ${seed}: one way round alone: ${unmatched.slice(0, 3).join('\n')}`)
  return there.length
}

/** Compares one random pair, and proves it with random requests. Throws with what does not fit. */
export function provePair(seed: number, requests: number, proof: Proof): void {
  const draw = new Draw(seed)
  const one = drawnSet(draw)
  const other = edited(draw, one)
  let policies: readonly [PolicySet, PolicySet]
  try {
    policies = [policyFrom(filesOf(one)), policyFrom(filesOf(other))]
  } catch {
    // A set that is refused is not compared.
    proof.refused += 1
    return
  }
  const [from, to] = policies
  const nameOf = (file: string): string => file
  const { changes, undecided } = comparePolicies({ policy: from, nameOf }, { policy: to, nameOf })
  const fail = (what: string, detail: unknown): never => {
    throw new Error(
      `seed ${seed}: ${what}\n${JSON.stringify(detail, null, 1)}\n${JSON.stringify([filesOf(one), filesOf(other)])}`,
    )
  }
  if (undecided > 0) fail('undecided', undecided)
  proof.changes += changes.length
  const byTeam = new Map<string, RightChange[]>()
  for (const change of changes) byTeam.set(change.team, [...(byTeam.get(change.team) ?? []), change])
  // An organization that only a guardrail names is any other one to fences, grants, keys and budgets.
  const written = JSON.stringify([one, other].map((each) => ({ ...each, guardrails: null })))
  const known = [...organizations.filter((id) => written.includes(`"${id}"`)), 'org-any-other']
  for (let index = 0; index < requests; index += 1) {
    const chosen = draw.one(draw.one([one, other]).teams)
    const { team } = chosen
    const who = caller(draw, chosen)
    const asked = request(draw, draw.one(named), known)
    const outcomes = policies.map((policy) => outcomeOf(policy, who, asked))
    const [before, after] = outcomes
    if (before === undefined || after === undefined) continue
    proof.requests += 1
    for (const kinds of differenceOf(before, after)) {
      proof.differing += 1
      proof.kinds[kinds[0] ?? ''] = (proof.kinds[kinds[0] ?? ''] ?? 0) + 1
      if (!(byTeam.get(team) ?? []).some((change) => covers(change, kinds, who, asked)))
        fail(`a ${kinds.join(' or ')} that the report does not cover`, {
          team,
          who: { ...who, expiresAtMs: 0 },
          asked: { ...asked, operation: asked.operation.id },
          before,
          after,
          report: (byTeam.get(team) ?? [])
            .filter((change) => change.request.operation === asked.operation)
            .map(({ change, callers, request: { members }, organizations: places, from: was, to: is }) =>
              [change, callers.map(({ text }) => text), members, places, was, is].join(' | '),
            ),
        })
    }
  }
  for (const change of changes) proveChange(change, policies, fail)
  const samples = comparisonData({ changes, decided: 0, undecided, notes: [] }).changes
  for (let index = 0; index < samples.length; index += Math.ceil(samples.length / 25)) {
    const sample = samples[index]
    if (sample !== undefined && sample.also_by === undefined) proveExplained(sample, policies, fail)
  }
}

/** Nothing is reported that does not differ: the request of a change, sent by any of its callers, differs as it says. */
function proveChange(
  change: RightChange,
  policies: readonly [PolicySet, PolicySet],
  fail: (what: string, detail: unknown) => never,
): void {
  const { request: sample, callers, alsoBy } = change
  // Callers who have the right by another team as well see no difference.
  if (
    alsoBy !== null ||
    callers.some(({ principal }) => policies.some((policy) => policy.teamsOf(principal).length > 1))
  )
    return
  for (const { principal } of callers) {
    const asked: FullRequest = {
      operation: sample.operation,
      address: sample.address,
      body: sample.bodyText === null ? null : (JSON.parse(sample.bodyText) as unknown),
      organizations: [],
    }
    const [before, after] = policies.map((policy) => outcomeOf(policy, principal, asked))
    if (before === undefined || after === undefined) return
    const kinds = differenceOf(before, after)
    const wanted = change.change === 'guardrail' ? kinds.length > 0 : kinds.some(([kind]) => kind === change.change)
    if (!wanted)
      fail('a change that its example does not show', {
        change: change.change,
        team: change.team,
        principal,
        asked: { ...asked, operation: asked.operation.id },
        from: change.from,
        to: change.to,
        before,
        after,
      })
  }
}

/** The example as `explain` is given it: its explanations under both sets say something else. */
function proveExplained(
  change: ChangeData,
  policies: readonly [PolicySet, PolicySet],
  fail: (what: string, detail: unknown) => never,
): void {
  const { method, path, body, as } = change.example
  const principal = principalFrom(as)
  if (policies.some((policy) => policy.teamsOf(principal).length > 1)) return
  const [before, after] = policies.map((policy) => {
    const found = explain(policy, principal, {
      method,
      target: path,
      body: body === undefined ? null : checkedBodyOf(body),
      devinUser: as.devin_user_id === undefined ? undefined : { id: as.devin_user_id },
    })
    const { effect, key: id, response, changes, limits, reason } = found
    const keyed = policy.keys.find((each) => each.id === id)
    const allowed = { key: `${id ?? ''} ${keyed?.scope ?? ''} ${keyed?.organization ?? ''}`, response, changes, limits }
    return { effect, ...(effect === 'allow' ? allowed : { reason }) }
  })
  const isShown =
    change.change === 'gained' || change.change === 'lost'
      ? before?.effect === (change.change === 'gained' ? 'deny' : 'allow') && after?.effect !== before.effect
      : JSON.stringify(before) !== JSON.stringify(after)
  if (!isShown) fail('a change that explain does not show', { ...change, before, after })
}
