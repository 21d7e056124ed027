// Decisions by compile and evaluate compared with the plain evaluator on random policies, callers and requests.

import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Operation } from '../../src/catalogue/operation.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import type { KeyHandle } from '../../src/keys/key.ts'
import { compilePolicies } from '../../src/policy/compile/compile.ts'
import type { KeyDocument, TeamDocument } from '../../src/policy/documents/document.ts'
import { evaluate } from '../../src/policy/decision/evaluate.ts'
import { plainChoice } from '../keys/key-choice-oracle.ts'
import {
  bodyOf,
  enterpriseKeyOf,
  keyOf,
  operationOf,
  principalOf,
  wholeCatalogue as catalogue,
} from '../support/policies.ts'
import { plainDecision, type Call, type Verdict } from './plain-decision.ts'

const { permissions } = catalogue
const { operations } = catalogue
// Operations with something special about them, drawn more often than the others.
const special = operations.filter(
  ({ conditional, organizations, alternatives, permission }) =>
    conditional.length + organizations.body.length + organizations.query.length + alternatives.length > 0 ||
    permission === null,
)
const asking = operations.filter(({ conditional }) => conditional.length > 0)
const organizations = ['org-a', 'org-b', 'org-c']
const teamIds = ['delta', 'alpha', 'charlie', 'bravo']

// Everything that is drawn is plain data, so that a failure shrinks to something a person can read. Operations are drawn
// by their position in the slice of the catalogue that the policy and the requests of one case are about.
const word = fc.record({
  of: fc.nat(5),
  spelled: fc.constantFrom(
    'permission',
    'permission',
    'enterprise',
    'alternative',
    'extra',
    'id',
    'id',
    'family',
    'star',
    'middle',
    '*',
  ),
})
const some = (values: readonly string[]) => fc.subarray([...values], { minLength: 1 })
const condition = fc.oneof(
  { weight: 3, arbitrary: fc.record({ groups: some(['g1', 'g2', 'g3']) }) },
  { weight: 1, arbitrary: fc.record({ app: some(['bot', 'cli']) }) },
  { weight: 1, arbitrary: fc.record({ groups: some(['g1', 'g2']), app: some(['bot', 'cli']) }) },
  { weight: 1, arbitrary: fc.record({ email: some(['ada@corp.example']), subject: some(['ada', 'bob']) }) },
  { weight: 1, arbitrary: fc.record({ claims: fc.record({ 'org.unit': some(['red', '7', 'true']) }) }) },
)
const grant = fc.record({
  allow: fc.array(word, { minLength: 1, maxLength: 3 }),
  when: fc.option(condition, { nil: null, freq: 3 }),
  narrowed: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.subarray(organizations, { minLength: 1 }) },
  ),
  mode: fc.constantFrom(
    'enforce' as const,
    'enforce' as const,
    'enforce' as const,
    'enforce' as const,
    'warn' as const,
    'shadow' as const,
    'off' as const,
  ),
})
const team = fc.record({
  members: fc.array(condition, { minLength: 1, maxLength: 2 }),
  organizations: fc.oneof(
    { weight: 3, arbitrary: fc.subarray(organizations, { minLength: 1 }) },
    { weight: 1, arbitrary: fc.constant('all' as const) },
  ),
  grants: fc.array(grant, { maxLength: 4 }),
})
const key = fc.record({
  organization: fc.option(fc.constantFrom(...organizations), { nil: null, freq: 2 }),
  holds: fc.array(word, { maxLength: 4 }),
  serves: fc.oneof(fc.constantFrom('none' as const, 'all' as const), fc.subarray(organizations, { minLength: 1 })),
})
const principal = fc.record({
  subject: fc.constantFrom('ada', 'bob', 'eve'),
  email: fc.constantFrom(null, 'ada@corp.example', 'bob@corp.example'),
  groups: fc.subarray(['g1', 'g2', 'g3', 'other']),
  app: fc.constantFrom(null, 'bot', 'cli', 'other'),
  unit: fc.constantFrom<unknown>('red', 'blue', 7, true, null, ['blue', 'red'], { red: 'red' }, 'absent'),
})
const organization = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...organizations) },
  { weight: 1, arbitrary: fc.constantFrom('org-x', 'org%2Da', 'ORG-A') },
)
const pair = fc.record({
  separator: fc.constantFrom('&', '&', '&', ';'),
  name: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('org_id', 'org_ids', 'first') },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'org_id',
        'org_ids',
        'org_ids',
        'org%5Fid',
        '%6Frg_ids',
        'first',
        'ORG_IDS',
        'org_ids%5B%5D',
        '+org_ids',
      ),
    },
  ),
  value: fc.constantFrom('org-a', 'org-a', 'org-b', 'org-c', 'org-x', 'org%2Da', 'org-a%2Corg-b', '', '5', 'org-a%'),
})
const absent = fc.constant(undefined)
const member = fc.oneof(absent, fc.constantFrom<unknown>('user-1', '', null, 7, false))
const organizationValue = fc.constantFrom<unknown>('org-a', 'org-a', 'org-b', 'org-x', null, 7, ['org-x'])
const body = fc.record({
  create_as_user_id: member,
  message_as_user_id: member,
  run_as_user_id: member,
  repo_name: member,
  org_id: fc.oneof(absent, absent, organizationValue),
  org_ids: fc.oneof(absent, absent, fc.array(organizationValue, { maxLength: 2 }), organizationValue),
  local_agent: fc.oneof(absent, fc.record({ billing_org_id: organizationValue })),
  groups: fc.oneof(
    absent,
    fc.array(fc.record({ org_ids: fc.oneof(fc.array(organizationValue, { maxLength: 2 }), organizationValue) }), {
      maxLength: 2,
    }),
  ),
})
const request = fc.record({
  of: fc.nat(5),
  head: fc.boolean(),
  organization,
  query: fc.array(pair, { maxLength: 3 }),
  body: fc.option(body, { nil: null, freq: 3 }),
  principal,
})
const scene = fc.record({
  slice: fc.array(
    fc
      .oneof(
        { weight: 2, arbitrary: fc.constantFrom(...special) },
        { weight: 1, arbitrary: fc.constantFrom(...asking) },
        { weight: 3, arbitrary: fc.constantFrom(...operations) },
      )
      .map(({ id }) => id),
    {
      minLength: 1,
      maxLength: 6,
    },
  ),
  teams: fc.array(team, { minLength: 1, maxLength: 4 }),
  keys: fc.array(key, { maxLength: 4 }),
  requests: fc.array(request, { minLength: 1, maxLength: 60, size: 'max' }),
})

type Scene = typeof scene extends fc.Arbitrary<infer Drawn> ? Drawn : never
type Word = Scene['teams'][number]['grants'][number]['allow'][number]
type Request = Scene['requests'][number]

function at(slice: readonly string[], position: number): Operation {
  return operationOf(slice[position % slice.length] ?? '', catalogue)
}

/** A word of an `allow` list, or of a key's permissions when it is a permission name. */
function spell(slice: readonly string[], { of, spelled }: Word): string {
  const { id, permission, alternatives, conditional } = at(slice, of)
  const segments = id.split('.')
  const enterprise = permission === null ? [] : permissions.impliedBy(permission)
  const candidates: Readonly<Record<Word['spelled'], string | null | undefined>> = {
    permission,
    enterprise: enterprise[of % Math.max(enterprise.length, 1)],
    alternative: alternatives[of % Math.max(alternatives.length, 1)],
    extra: conditional[0]?.permission,
    id,
    family: `${segments.slice(0, -1).join('.')}.*`,
    star: `${segments[0]}.*`,
    middle: [segments[0], '*', ...segments.slice(2)].join('.'),
    '*': '*',
  }
  return candidates[spelled] ?? id
}

const nowhere = () => ({ line: 1, column: 1 })

function documentsOf({ slice, teams }: Scene): readonly TeamDocument[] {
  return teams.map((drawn, index): TeamDocument => {
    const id = teamIds[index] ?? `team-${index}`
    return {
      kind: 'team',
      file: `teams/${id}.yaml`,
      line: 1,
      team: id,
      members: drawn.members.map((entry) => ({ ...entry, ending: endless })),
      organizations: drawn.organizations,
      defaultOrganization: null,
      grants: drawn.grants.map((entry, position) => ({
        id: `g${position}`,
        line: 1,
        allow: entry.allow.map((each) => spell(slice, each)),
        when: entry.when,
        organizations: withinFence(entry.narrowed, drawn.organizations),
        mode: entry.mode,
        ending: endless,
        remarks: noRemarks,
      })),
      remarks: noRemarks,
      cacheAtMostMs: null,
      limits: null,
      positionOf: nowhere,
    }
  })
}

const endless = { endsAtMs: null, reason: null }
const noRemarks = { owner: null, contact: null, description: null }

/** A grant reaches no further than its team; the validator refuses one that says so. */
function withinFence(narrowed: readonly string[] | null, fence: 'all' | readonly string[]): readonly string[] | null {
  const inside = fence === 'all' ? narrowed : (narrowed?.filter((id) => fence.includes(id)) ?? null)
  return inside === null || inside.length === 0 ? null : inside
}

/** The effects that warnings must have: what the plain evaluator says of the same documents without grants in mode warn. */
function expectedWarnings(documents: readonly TeamDocument[], call: Call): string[] {
  const now = plainDecision(documents, call)
  const rest = documents.map((team) => ({ ...team, grants: team.grants.filter(({ mode }) => mode !== 'warn') }))
  const without = plainDecision(rest, call)
  if (now.effect === 'deny') return []
  if (without.effect === 'deny') return [`deny ${without.reason}`]
  return without.team === now.team ? [] : ['other-team null']
}

function keysOf({ slice, keys }: Scene): readonly KeyHandle[] {
  return keys.map((drawn, index) => {
    const held = new Set(drawn.holds.map((each) => spell(slice, each)).filter((name) => permissions.names.has(name)))
    const serves = typeof drawn.serves === 'string' ? drawn.serves : new Set(drawn.serves)
    return drawn.organization === null
      ? enterpriseKeyOf(`k${index}`, { permissions: held, serves })
      : keyOf(`k${index}`, { organization: drawn.organization, permissions: held })
  })
}

function keyDocumentOf(handle: KeyHandle): KeyDocument {
  return {
    file: 'keys.yaml',
    line: 1,
    secretPlace: nowhere(),
    id: handle.id,
    scope: handle.scope,
    organization: handle.organization,
    permissions: [...handle.permissions],
    secret: handle.secret,
    servesOrganizations: typeof handle.serves === 'string' ? handle.serves : [...handle.serves],
    serviceUser: null,
    watch: false,
    expires: null,
    rotate: null,
    positionOf: nowhere,
  }
}

function callOf(slice: readonly string[], drawn: Request): Call {
  const operation = at(slice, drawn.of)
  const path = operation.segments
    .map((segment) => (segment === '{org_id}' ? drawn.organization : segment.startsWith('{') ? 'x1' : segment))
    .join('/')
  const query = drawn.query
    .map(({ separator, name, value }, index) => `${index === 0 ? '' : separator}${name}=${value}`)
    .join('')
  const { unit, ...attributes } = drawn.principal
  return {
    operation,
    target: query === '' ? `/${path}` : `/${path}?${query}`,
    principal: principalOf({ ...attributes, claims: unit === 'absent' ? {} : { org: { unit } } }),
    // As it comes out of JSON: what was not drawn is absent.
    ...(drawn.body === null ? {} : { body: JSON.parse(JSON.stringify(drawn.body)) as unknown }),
  }
}

/** The plain verdict with the key that the plain choice gives for it. */
function expected(
  documents: readonly TeamDocument[],
  keys: readonly KeyHandle[],
  call: Call,
): Verdict & { key: string | null } {
  const verdict = plainDecision(documents, call)
  if (verdict.effect === 'deny') return { ...verdict, key: null }
  const decided = documents.find((document) => document.team === verdict.team)
  const segments = call.target.split('?')[0]?.split('/').slice(1) ?? []
  const { operation } = call
  const place = operation.segments.indexOf('{org_id}')
  const own = decided === undefined || decided.organizations === 'all' ? null : (decided.organizations[0] ?? null)
  const organization = operation.scope === 'any' ? own : place === -1 ? null : (segments[place] ?? null)
  const values = (field: string) => (call.body === undefined ? [] : bodyOf(call.body).valuesAt(field))
  const extra = operation.conditional
    .filter(({ field, when }) => values(field).some((value) => value !== null) === (when === 'present'))
    .map((entry) => entry.permission)
  return { ...verdict, key: plainChoice(keys, { operation, organization, extra }, permissions) }
}

/** Says what differs; `expect` alone takes most of the time of so many comparisons. */
function isSame(found: unknown, wanted: unknown, about: () => string): void {
  if (!isDeepStrictEqual(found, wanted)) expect(found, about()).toEqual(wanted)
}

test('at least 30 000 random requests are decided as the plain evaluator decides them', () => {
  const tally: Record<string, number> = {}
  let cases = 0
  fc.assert(
    fc.property(scene, (drawn) => {
      const documents = documentsOf(drawn)
      const keys = keysOf(drawn)
      const { policy } = compilePolicies({ revision: 'r', teams: documents, keys: keys.map(keyDocumentOf) }, catalogue)
      for (const each of drawn.requests) {
        const call = callOf(drawn.slice, each)
        const { operation, principal: caller, target } = call
        const read = parseTarget(target)
        const method = operation.method === 'GET' && each.head ? 'HEAD' : operation.method
        if (policy.catalogue.match(method, read.segments) !== operation) expect.unreachable(`${method} ${target}`)
        const judged = call.body === undefined ? null : bodyOf(call.body)
        const { decision, key: choice, warnings } = evaluate(policy, caller, operation, read, judged)
        const found = {
          effect: decision.effect,
          reason: decision.reason,
          team: decision.team?.id ?? null,
          grant: decision.grant?.id ?? null,
          shadow: decision.shadow.map((shadow) => `${shadow.team}/${shadow.id}`),
          key: choice?.key.id ?? null,
        }
        isSame(
          found,
          expected(documents, keys, call),
          () => `${method} ${target} (${operation.id}) with ${JSON.stringify(call.body)}`,
        )
        isSame(
          [...new Set(warnings.map(({ effect, reason }) => `${effect} ${reason}`))],
          expectedWarnings(documents, call),
          () => `${method} ${target} (${operation.id}) without grants in mode warn`,
        )

        // Before the body is read the answer may still change for the worse, never for the better; and where no rule
        // looks at the body, the answer without it is final.
        const early = evaluate(policy, caller, operation, read)
        const sent = () => `${method} ${target}, before its body is read`
        if (early.decision.effect === 'deny') isSame(decision.effect, 'deny', sent)
        else if (!early.needsBody) isSame([decision.effect, found.key], ['allow', early.key?.key.id ?? null], sent)

        cases += 1
        const fenced = decision.team !== null && decision.team.organizations !== 'all'
        for (const [what, happened] of Object.entries({
          [`${decision.effect} ${decision.reason}`]: true,
          'a key': choice !== null,
          'a shadow grant': found.shadow.length > 0,
          'a warning of a refusal': warnings.some(({ effect }) => effect === 'deny'),
          'a warning of another team': warnings.some(({ effect }) => effect === 'other-team'),
          'a refusal beyond a grant': decision.nearest?.what === 'organization' && decision.nearest.grant !== null,
          'a refusal for the body': decision.nearest?.what === 'extra-permission',
          'an enterprise call from inside a fence':
            operation.scope === 'enterprise' && found.effect === 'allow' && fenced,
        })) {
          if (happened) tally[what] = (tally[what] ?? 0) + 1
        }
      }
    }),
    { numRuns: 1200, seed: 2026 },
  )
  expect(cases).toBeGreaterThanOrEqual(30_000)
  // The comparison means something only if every outcome came up often.
  for (const [outcome, least] of Object.entries({
    'allow granted': 1500,
    'allow member': 30,
    'deny not-granted': 1500,
    'deny organization-not-granted': 1500,
    'deny no-team': 1500,
    'a key': 450,
    'a shadow grant': 600,
    'a refusal for the body': 150,
    'a warning of a refusal': 150,
    'a warning of another team': 30,
    'a refusal beyond a grant': 150,
    'an enterprise call from inside a fence': 150,
  })) {
    expect(tally[outcome] ?? 0, outcome).toBeGreaterThanOrEqual(least)
  }
})
