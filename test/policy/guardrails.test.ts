// Guardrails on requests, decided: each kind of rule on bodies and queries, whom it binds, what is put in, what is
// refused with which words, and what is wrong with a file of them.

import { describe, expect, test } from 'vitest'
import type { Principal } from '../../src/identity/principal.ts'
import { evaluate, type Evaluation } from '../../src/policy/decision/evaluate.ts'
import { parseCheckedBody } from '../../src/policy/decision/checked-body.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import { ask, compileFiles, operationOf, policyFrom, principalOf } from '../support/policies.ts'

const keys = `keys:
  - { id: runner, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: K } }
  - { id: actor, scope: organization, organization: org-a, permissions: [ManageOrgSessions, ImpersonateOrgSessions], secret: { env: K } }
  - { id: enterprise, scope: enterprise, permissions: [ManageOrganizations, ViewAccountSessions], secret: { env: K } }
`
const team = `team: payments
members: [{ groups: eng }]
organizations: [org-a]
grants:
  - { id: run, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: act, allow: [ImpersonateOrgSessions] }
`
const create = 'POST /v3/organizations/org-a/sessions'
const list = 'GET /v3/organizations/org-a/sessions'
const engineer = principalOf({ groups: ['eng'], email: 'ada@corp.example', app: 'cli' })

/** Policies with one guardrail on session creates (or the operations `on` names), of which the rules are given. */
function withRules(rules: string, on = 'org.sessions.create'): ReturnType<typeof policyFrom> {
  return policyFrom({
    'teams/payments.yaml': team,
    'keys.yaml': keys,
    'guardrails.yaml': `guardrails:\n  - { id: g, on: [${on}], ${rules} }\n`,
  })
}

/** Sends bytes as they are. */
function askRaw(policy: ReturnType<typeof policyFrom>, body: string, caller: Principal = engineer): Evaluation {
  const target = parseTarget('/v3/organizations/org-a/sessions')
  return evaluate(policy, caller, operationOf('org.sessions.create'), target, parseCheckedBody(Buffer.from(body)))
}

/** The body that is sent, or the refusal. */
function sent({ decision, body }: Evaluation): string {
  if (decision.effect === 'deny')
    return `${decision.reason}: ${(decision.detail ?? '').replace(/ (Leave out fields|Write numbers|Change the request).*/, '')}`
  return body?.bytes.toString() ?? '(none)'
}

describe('a refusal', () => {
  const field = 'max_acu_limit: { at_most: 25, at_least: 1 }'
  const bounds = 'must be at most 25, and is # (guardrail g); max_acu_limit must be at least 1, and is # (guardrail g).'
  test.each([
    ['null', 'null', ' Leave out fields that are not set: null is a value.'],
    ['"5"', 'a text', ' Write numbers without quotes.'],
    ['"five"', 'a text', ''],
  ])('says once what is wrong with %s', (value, shown, hint) => {
    const { decision } = askRaw(withRules(`body: { ${field} }`), `{"max_acu_limit":${value}}`)
    expect(decision.detail).toBe(
      `max_acu_limit ${bounds.replaceAll('#', shown)}${hint} Change the request, or ask the owner of the guardrail.`,
    )
  })
})

describe('a rule on a field of the body', () => {
  const longDigits = '{"max_acu_limit":24.99999999999999999999}'
  test.each<[rules: string, body: string, result: string]>([
    // Numbers, exactly, and of no other type.
    ['max_acu_limit: { at_most: 25 }', '{"max_acu_limit":25}', '{"max_acu_limit":25}'],
    ['max_acu_limit: { at_most: 25 }', '{"max_acu_limit":2.5e1}', '{"max_acu_limit":2.5e1}'],
    ['max_acu_limit: { at_most: 25 }', longDigits, longDigits],
    ['max_acu_limit: { at_most: 25 }', '{}', '{}'],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":99}',
      'guardrail: max_acu_limit must be at most 25, and is 99 (guardrail g).',
    ],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":25.00000000000000000001}',
      'guardrail: max_acu_limit must be at most 25, and is 25.00000000000000000001 (guardrail g).',
    ],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":1e400}',
      'guardrail: max_acu_limit must be at most 25, and is 1e400 (guardrail g).',
    ],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":null}',
      'guardrail: max_acu_limit must be at most 25, and is null (guardrail g).',
    ],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":"5"}',
      'guardrail: max_acu_limit must be at most 25, and is a text (guardrail g).',
    ],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":[5]}',
      'guardrail: max_acu_limit must be at most 25, and is a list (guardrail g).',
    ],
    [
      'max_acu_limit: { at_most: 25 }',
      '{"max_acu_limit":true}',
      'guardrail: max_acu_limit must be at most 25, and is true (guardrail g).',
    ],
    [
      'max_acu_limit: { at_least: 1 }',
      '{"max_acu_limit":-5}',
      'guardrail: max_acu_limit must be at least 1, and is -5 (guardrail g).',
    ],
    // Defaults are for what is absent, and null is not.
    ['max_acu_limit: { default: 10, at_most: 25 }', '{"prompt":"x"}', '{"prompt":"x","max_acu_limit":10}'],
    ['max_acu_limit: { default: 10, at_most: 25 }', '{"max_acu_limit":3}', '{"max_acu_limit":3}'],
    [
      'max_acu_limit: { default: 10, at_most: 25 }',
      '{"max_acu_limit":null}',
      'guardrail: max_acu_limit must be at most 25, and is null (guardrail g).',
    ],
    ['tags: { default: ["a", {b: 1.5}] }', '{}', '{"tags":["a",{"b":1.5}]}'],
    ['title: { default: "${app} of ${team} in ${organization}" }', '{}', '{"title":"cli of payments in org-a"}'],
    // Nothing else of the document is touched: spelling of numbers, order, unknown members.
    [
      'max_acu_limit: { default: 10 }',
      '{ "big": 12345678901234567890, "huge": 1e400, "plain": 1.0, "neg": -0, "deep": {"x":[1.50]}, "__proto__": {"a":1} }',
      '{"big":12345678901234567890,"huge":1e400,"plain":1.0,"neg":-0,"deep":{"x":[1.50]},"__proto__":{"a":1},"max_acu_limit":10}',
    ],
    // Unchanged is byte for byte.
    [
      'max_acu_limit: { default: 10 }',
      ' { "max_acu_limit" : 1.0 ,"a":"\\u00e9" } ',
      ' { "max_acu_limit" : 1.0 ,"a":"\\u00e9" } ',
    ],
    // Presence.
    ['bypass_approval: { forbid: true }', '{}', '{}'],
    [
      'bypass_approval: { forbid: true }',
      '{"bypass_approval":false}',
      'guardrail: bypass_approval is forbidden: leave it out (guardrail g).',
    ],
    [
      'bypass_approval: { forbid: true }',
      '{"bypass_approval":null}',
      'guardrail: bypass_approval is forbidden: leave it out (guardrail g).',
    ],
    [
      'bypass_approval: { forbid: true }',
      '{"bypass\\u005fapproval":true}',
      'guardrail: bypass_approval is forbidden: leave it out (guardrail g).',
    ],
    ['playbook_id: { require: true }', '{"playbook_id":"p"}', '{"playbook_id":"p"}'],
    ['playbook_id: { require: true }', '{}', 'guardrail: playbook_id must be there, and is absent (guardrail g).'],
    [
      'playbook_id: { require: true }',
      '{"playbook_id":null}',
      'guardrail: playbook_id must be there, and is null (guardrail g).',
    ],
    // Fixed values.
    ['bypass_approval: { equals: false }', '{"bypass_approval":false}', '{"bypass_approval":false}'],
    [
      'bypass_approval: { equals: false }',
      '{"bypass_approval":"false"}',
      'guardrail: bypass_approval must be false, and is another text (guardrail g).',
    ],
    [
      'bypass_approval: { equals: false }',
      '{"bypass_approval":null}',
      'guardrail: bypass_approval must be false, and is null (guardrail g).',
    ],
    ['max_acu_limit: { equals: 10 }', '{"max_acu_limit":1e1}', '{"max_acu_limit":1e1}'],
    ['title: { equals: principal.email }', '{"title":"ada@corp.example"}', '{"title":"ada@corp.example"}'],
    [
      'title: { equals: principal.email }',
      '{"title":"ben@corp.example"}',
      'guardrail: title must be principal.email, and is another text (guardrail g).',
    ],
    ['devin_mode: { one_of: [normal, lite, null] }', '{"devin_mode":"lite"}', '{"devin_mode":"lite"}'],
    ['devin_mode: { one_of: [normal, lite, null] }', '{"devin_mode":null}', '{"devin_mode":null}'],
    [
      'devin_mode: { one_of: [normal, lite] }',
      '{"devin_mode":"fast"}',
      'guardrail: devin_mode must be one of normal, lite, and is another text (guardrail g).',
    ],
    // A field that is a name or an object, as the API has it.
    ['security_profile: { forbid: true }', '{"title":"t"}', '{"title":"t"}'],
    [
      'security_profile: { forbid: true }',
      '{"security_profile":{"selection":"none"}}',
      'guardrail: security_profile is forbidden: leave it out (guardrail g).',
    ],
    [
      'security_profile: { require: true, one_of: [locked] }',
      '{"securityProfile":"open"}',
      'guardrail: security_profile is spelled "securityProfile", which servers may read in different ways (guardrail g).',
    ],
    // Texts.
    ['title: { matches: "^OPS-[0-9]+$" }', '{"title":"OPS-12"}', '{"title":"OPS-12"}'],
    [
      'title: { matches: "^OPS-[0-9]+$" }',
      '{"title":"OPS-12\\n"}',
      'guardrail: title must match ^OPS-[0-9]+$, and is another text (guardrail g).',
    ],
    ['title: { matches: "OPS-*" }', '{"title":7}', 'guardrail: title must match OPS-*, and is 7 (guardrail g).'],
    ['title: { max_length: 3 }', '{"title":"a😀b"}', '{"title":"a😀b"}'],
    [
      'title: { max_length: 3 }',
      '{"title":"abcd"}',
      'guardrail: title must be a text of at most 3 characters, and is longer (guardrail g).',
    ],
    [
      'title: { max_length: 3 }',
      '{"title":["a"]}',
      'guardrail: title must be a text of at most 3 characters, and is a list (guardrail g).',
    ],
    // Lists.
    ['repos: { each_matches: "corp/*" }', '{"repos":["corp/a","corp/b"]}', '{"repos":["corp/a","corp/b"]}'],
    [
      'repos: { each_matches: "corp/*" }',
      '{"repos":["corp/a","evil/b"]}',
      'guardrail: repos.1 must match corp/*, and is another text (guardrail g).',
    ],
    [
      'repos: { each_matches: "corp/*" }',
      '{"repos":[["corp/a"]]}',
      'guardrail: repos.0 must match corp/*, and is a list (guardrail g).',
    ],
    [
      'repos: { each_matches: "corp/*" }',
      '{"repos":"corp/a"}',
      'guardrail: repos must be a list of texts that match corp/*, and is a text (guardrail g).',
    ],
    [
      'repos: { each_matches: "corp/*" }',
      '{"repos":null}',
      'guardrail: repos must be a list of texts that match corp/*, and is null (guardrail g).',
    ],
    ['tags: { add: ["team:${team}", "app:${app}"] }', '{"tags":["x"]}', '{"tags":["x","team:payments","app:cli"]}'],
    [
      'tags: { add: ["team:${team}", "app:${app}"] }',
      '{"tags":["app:cli","x"]}',
      '{"tags":["app:cli","x","team:payments"]}',
    ],
    ['tags: { add: ["team:${team}"] }', '{}', '{"tags":["team:payments"]}'],
    ['tags: { add: ["team:${team}"] }', '{"tags":["team:payments"]}', '{"tags":["team:payments"]}'],
    ['tags: { add: ["team:${team}"] }', '{"tags":null}', 'guardrail: tags must be a list, and is null (guardrail g).'],
    ['tags: { max_items: 2 }', '{"tags":["a","b"]}', '{"tags":["a","b"]}'],
    [
      'tags: { max_items: 2 }',
      '{"tags":["a","b","c"]}',
      'guardrail: tags must be a list of at most 2 items, and holds 3 (guardrail g).',
    ],
    [
      'tags: { max_items: 2, add: [c] }',
      '{"tags":["a","b"]}',
      'guardrail: tags must be a list of at most 2 items, and holds 3 (guardrail g).',
    ],
    // Dotted names and stars.
    [
      'session_secrets.*.key: { matches: "CI_*" }',
      '{"session_secrets":[{"key":"CI_A"},{"key":"X"}]}',
      'guardrail: session_secrets.1.key must match CI_*, and is another text (guardrail g).',
    ],
    [
      'session_secrets.*.key: { matches: "CI_*" }',
      '{"session_secrets":{"a":{"key":"X"}}}',
      'guardrail: session_secrets.a.key must match CI_*, and is another text (guardrail g).',
    ],
    [
      'session_secrets.*.sensitive: { default: true }',
      '{"session_secrets":[{"key":"A"},{"key":"B","sensitive":false}]}',
      '{"session_secrets":[{"key":"A","sensitive":true},{"key":"B","sensitive":false}]}',
    ],
    [
      'tags.*: { max_length: 2 }',
      '{"tags":"long"}',
      'guardrail: tags must be a text of at most 2 characters, and is longer (guardrail g).',
    ],
    ['structured_output_schema.type: { default: object }', '{}', '{"structured_output_schema":{"type":"object"}}'],
    [
      'structured_output_schema.type: { default: object }',
      '{"structured_output_schema":null}',
      'guardrail: structured_output_schema must be an object that can hold structured_output_schema.type (guardrail g).',
    ],
    // What is no object at all.
    ['title: { max_length: 3 }', '[]', 'guardrail: the body must be a JSON object (guardrail g).'],
    ['title: { max_length: 3 }', 'null', 'guardrail: the body must be a JSON object (guardrail g).'],
    ['title: { max_length: 3 }', '"title"', 'guardrail: the body must be a JSON object (guardrail g).'],
  ])('%s against %s', (rules, body, result) => {
    expect(sent(askRaw(withRules(`body: { ${rules.replace(/^([^:]+):/, '"$1":')} }`), body))).toBe(result)
  })

  test('leaves out what it would add of an attribute that the caller lacks', () => {
    const policy = withRules('body: { tags: { add: ["team:${team}", "app:${app}"] } }')
    expect(sent(askRaw(policy, '{}', principalOf({ groups: ['eng'] })))).toBe('{"tags":["team:payments"]}')
  })

  test('that sets or compares what the caller lacks refuses', () => {
    const nobody = principalOf({ groups: ['eng'] })
    expect(sent(askRaw(withRules('body: { title: { equals: principal.email } }'), '{"title":""}', nobody))).toBe(
      'guardrail: title must be principal.email, and the token of this caller says no email (guardrail g).',
    )
    expect(sent(askRaw(withRules('body: { title: { default: "by ${email}" } }'), '{}', nobody))).toBe(
      'guardrail: title must be put in as by ${email}, and the token of this caller says no email (guardrail g).',
    )
  })

  test('holds an absent body for an empty object', () => {
    const policy = withRules('body: { max_acu_limit: { default: 10 } }')
    expect(sent(ask(policy, engineer, create))).toBe('{"max_acu_limit":10}')
    expect(sent(ask(withRules('body: { title: { max_length: 3 } }'), engineer, create))).toBe('(none)')
    expect(sent(ask(withRules('body: { title: { require: true } }'), engineer, create))).toBe(
      'guardrail: title must be there, and is absent (guardrail g).',
    )
  })

  test('reports several broken bounds at once, a few of them in the detail', () => {
    const policy = withRules(
      'body: { a: { forbid: true }, b: { forbid: true }, c: { forbid: true }, d: { forbid: true }, e: { forbid: true }, f: { forbid: true } }',
    )
    expect(sent(askRaw(policy, '{"a":1,"b":1}'))).toBe(
      'guardrail: a is forbidden: leave it out (guardrail g); b is forbidden: leave it out (guardrail g).',
    )
    expect(sent(askRaw(policy, '{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}'))).toMatch(/; and 1 more\.$/)
  })
})

describe('a rule on a parameter of the query', () => {
  test.each<[rules: string, query: string, result: string]>([
    ['first: { default: 50, at_most: 100 }', '', '?first=50'],
    ['first: { default: 50, at_most: 100 }', '?after=x%2By', '?after=x%2By&first=50'],
    ['first: { at_most: 100 }', '?first=100', '?first=100'],
    ['first: { at_most: 100 }', '?first=101', 'the parameter first must be at most 100, and is 101 (guardrail g)'],
    [
      'first: { at_most: 100 }',
      '?first=10&first=500',
      'the parameter first must be at most 100, and is 500 (guardrail g)',
    ],
    [
      'first: { at_most: 100 }',
      '?%66irst=500',
      'the parameter first is spelled so that servers may read it in different ways, as "%66irst" (guardrail g)',
    ],
    ['first: { at_most: 100 }', '?first=+5', 'the parameter first must be at most 100, and is a text (guardrail g)'],
    [
      'first: { at_most: 100 }',
      '?first[]=500',
      'the parameter first is spelled so that servers may read it in different ways, as "first[]" (guardrail g)',
    ],
    [
      'first: { at_most: 100 }',
      '?after=a;first=500',
      'the parameter first is spelled so that servers may read it in different ways (guardrail g)',
    ],
    [
      'first: { at_most: 100 }',
      '?first=%ff',
      'the parameter first is spelled so that servers may read it in different ways (guardrail g)',
    ],
    ['tags: { add: ["team:${team}"] }', '?tags=a', '?tags=a&tags=team%3Apayments'],
    ['tags: { add: ["team:${team}"] }', '?tags=team%3Apayments', '?tags=team%3Apayments'],
    ['tags: { each_matches: "corp*", max_items: 2 }', '?tags=corp1&tags=corp2', '?tags=corp1&tags=corp2'],
    [
      'tags: { max_items: 1 }',
      '?tags=corp1&tags=corp2',
      'the parameter tags must be a list of at most 1 item, and holds 2 (guardrail g)',
    ],
    ['created_after: { require: true }', '', 'the parameter created_after must be there, and is absent (guardrail g)'],
    ['is_archived: { equals: false }', '?is_archived=false', '?is_archived=false'],
    [
      'is_archived: { equals: false }',
      '?is_archived=true',
      'the parameter is_archived must be false, and is another text (guardrail g)',
    ],
    [
      'is_archived: { forbid: true }',
      '?is_archived',
      'the parameter is_archived is forbidden: leave it out (guardrail g)',
    ],
    ['user_ids: { equals: principal.subject }', '?user_ids=ada', '?user_ids=ada'],
    ['after: { matches: "^[a-z]*$" }', '?after=abc', '?after=abc'],
    ['after: { max_length: 2 }', '?after=%F0%9F%98%80b', '?after=%F0%9F%98%80b'],
  ])('%s against "%s"', (rules, query, result) => {
    const { decision, target } = ask(withRules(`query: { ${rules} }`, 'org.sessions.list'), engineer, list + query)
    const found = decision.effect === 'allow' ? (target.query === '' ? '' : `?${target.query}`) : decision.detail
    expect(found).toBe(
      result.startsWith('?') || result === ''
        ? result
        : `${result}. Change the request, or ask the owner of the guardrail.`,
    )
  })

  test('may say how far an enterprise list reaches, and the fence holds for what it puts in', () => {
    const policy = (organizations: string) =>
      policyFrom({
        'teams/payments.yaml': `team: payments\nmembers: [{ groups: eng }]\norganizations: ${organizations}\ngrants: [{ id: list, allow: [ent.sessions.list] }]\n`,
        'keys.yaml': keys,
        'guardrails.yaml': 'guardrails: [{ id: g, on: ent.sessions.list, query: { org_ids: { default: org-b } } }]\n',
      })
    const asked = ask(policy('all'), engineer, 'GET /v3/enterprise/sessions')
    expect([asked.decision.effect, asked.target.query, asked.facts.organizations]).toEqual([
      'allow',
      'org_ids=org-b',
      ['org-b'],
    ])
    expect(ask(policy('[org-a]'), engineer, 'GET /v3/enterprise/sessions?org_ids=org-a').decision.effect).toBe('allow')
    expect(ask(policy('[org-a]'), engineer, 'GET /v3/enterprise/sessions?org_ids=org-b').decision.reason).toBe(
      'organization-not-granted',
    )
  })
})

describe('a guardrail', () => {
  const files = (guardrails: string, more = '') => ({
    'teams/payments.yaml': team,
    'teams/zeta.yaml': `team: zeta\nmembers: [{ groups: other }]\norganizations: [org-a]\ngrants: [{ id: run, allow: [ManageOrgSessions] }]\n`,
    'keys.yaml': keys,
    'guardrails.yaml': guardrails,
    ...(more === '' ? {} : { 'guardrails-more.yaml': more }),
  })
  const capped = (id: string, rest: string): string =>
    `guardrails: [{ id: ${id}, on: [org.sessions.create], ${rest} }]\n`
  const body = { max_acu_limit: 20 }

  test('binds the teams and apps it names, and nobody else', () => {
    const other = principalOf({ groups: ['other'] })
    const policy = policyFrom(files(capped('g', 'teams: payments, body: { max_acu_limit: { at_most: 5 } }')))
    expect(ask(policy, engineer, create, body).decision.reason).toBe('guardrail')
    expect(ask(policy, other, create, body).decision.effect).toBe('allow')
    const apps = policyFrom(files(capped('g', 'apps: [bot, cli], body: { max_acu_limit: { at_most: 5 } }')))
    expect(ask(apps, engineer, create, body).decision.reason).toBe('guardrail')
    expect(ask(apps, principalOf({ groups: ['eng'], app: 'web' }), create, body).decision.effect).toBe('allow')
    expect(ask(apps, principalOf({ groups: ['eng'] }), create, body).decision.effect).toBe('allow')
  })

  test('puts in what holds a field before the field, whichever of them comes first', () => {
    for (const [outer, inner] of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      const guardrails = `guardrails:
  - { id: ${outer}, on: [org.sessions.create], body: { o: { default: { m: 1 } } } }
  - { id: ${inner}, on: [org.sessions.create], body: { o.n: { default: 5 } } }
`
      expect(sent(ask(policyFrom(files(guardrails)), engineer, create, {}))).toBe('{"o":{"m":1,"n":5}}')
    }
  })

  test('binds the operations it names alone, by id or pattern', () => {
    const policy = withRules('body: { tags: { max_items: 1 } }', 'org.sessions.*')
    const tags = { tags: ['a', 'b'] }
    expect(ask(policy, engineer, create, tags).decision.reason).toBe('guardrail')
    expect(ask(policy, engineer, 'PUT /v3/organizations/org-a/sessions/devin-1/tags', tags).decision.reason).toBe(
      'guardrail',
    )
    expect(ask(policy, engineer, list).verdict).toBeNull()
  })

  test('of one team leaves the grants of another team of the caller alone, and that team is tried', () => {
    const both = principalOf({ groups: ['eng', 'other'] })
    const policy = policyFrom(
      files(capped('g', 'teams: payments, body: { max_acu_limit: { default: 3, at_most: 5 } }')),
    )
    const low = ask(policy, both, create, {})
    expect([low.decision.team?.id, sent(low)]).toEqual(['payments', '{"max_acu_limit":3}'])
    const high = ask(policy, both, create, body)
    expect([high.decision.effect, high.decision.team?.id, high.decision.teams.map(({ id }) => id)]).toEqual([
      'allow',
      'zeta',
      ['payments', 'zeta'],
    ])
    const everybody = policyFrom(files(capped('g', 'body: { max_acu_limit: { at_most: 5 } }')))
    expect(ask(everybody, both, create, body).decision).toMatchObject({ effect: 'deny', team: { id: 'payments' } })
  })

  test('and others apply together, the tightest of each bound wins and is named', () => {
    const policy = policyFrom(
      files(
        capped('a', 'body: { max_acu_limit: { default: 20, at_most: 25 }, tags: { add: [b, a] } }'),
        capped('b', 'body: { max_acu_limit: { at_most: 10 }, tags: { add: [c, a], max_items: 3 } }'),
      ),
    )
    expect(sent(ask(policy, engineer, create, {}))).toBe('{"max_acu_limit":10,"tags":["b","a","c"]}')
    expect(sent(ask(policy, engineer, create, { ...body, tags: ['x'] }))).toBe(
      'guardrail: max_acu_limit must be at most 10, and is 20 (guardrail b); tags must be a list of at most 3 items, and holds 4 (guardrail b).',
    )
  })

  test('that forbids wins over one that would put in', () => {
    const policy = policyFrom(
      files(
        capped('a', 'body: { title: { default: x }, structured_output_schema.type: { default: object } }'),
        capped('b', 'body: { title: { forbid: true }, structured_output_schema: { forbid: true } }'),
      ),
    )
    expect(sent(ask(policy, engineer, create, { prompt: 'x' }))).toBe('{"prompt":"x"}')
  })

  test('in shadow mode is judged on what the others made of the request, and changes nothing', () => {
    const policy = policyFrom(
      files(
        capped('a', 'body: { max_acu_limit: { default: 20 } }'),
        capped('b', 'mode: shadow, body: { max_acu_limit: { at_most: 10 }, tags: { add: [x] } }'),
      ),
    )
    const { decision, verdict, body: out } = ask(policy, engineer, create, {})
    expect([decision.effect, out?.bytes.toString()]).toEqual(['allow', '{"max_acu_limit":20}'])
    expect(verdict).toMatchObject({
      bound: [{ id: 'a' }, { id: 'b' }],
      changes: [{ guardrail: 'a', place: 'max_acu_limit', bound: 'default' }],
      shadow: [
        {
          guardrail: 'b',
          changes: [{ place: 'tags', bound: 'add' }],
          violations: [{ bound: 'at_most', text: 'max_acu_limit must be at most 10, and is 20' }],
        },
      ],
    })
  })

  test('that is off is not applied, and its mistakes are still reported', () => {
    const policy = policyFrom(files(capped('g', 'mode: off, body: { max_acu_limit: { at_most: 5 } }')))
    expect(ask(policy, engineer, create, body).decision.effect).toBe('allow')
    expect(
      compileFiles(files(capped('g', 'mode: off, teams: [nobody], body: { title: { require: true } }'))).lines,
    ).toEqual(['guardrails.yaml:1:69: unknown team "nobody"'])
  })

  test('never widens: what no grant allows stays refused for that reason', () => {
    const policy = withRules('body: { create_as_user_id: { equals: ada } }')
    expect(ask(policy, principalOf({ groups: ['nobody'] }), create, {}).decision.reason).toBe('no-team')
  })

  test('may put in what needs a power of its own, and then that power is needed', () => {
    const noAct = team.replace(/ +- \{ id: act.*\n/, '')
    const policy = policyFrom({
      'teams/payments.yaml': noAct,
      'keys.yaml': keys,
      'guardrails.yaml': capped('g', 'body: { create_as_user_id: { default: principal.subject } }'),
    })
    expect(ask(policy, engineer, create, {}).decision).toMatchObject({ effect: 'deny', reason: 'not-granted' })
    const granted = withRules('body: { create_as_user_id: { default: principal.subject } }')
    const found = ask(granted, engineer, create, {})
    expect([sent(found), found.key?.key.id]).toEqual(['{"create_as_user_id":"ada"}', 'actor'])
    expect(
      ask(withRules('body: { create_as_user_id: { equals: principal.subject } }'), engineer, create, {}).key?.key.id,
    ).toBe('runner')
  })

  test('asks for the body only where it bounds the body, and for the user at Devin only where it is compared', () => {
    const target = parseTarget('/v3/organizations/org-a/sessions/devin-1/tags')
    const tags = operationOf('org.sessions.tags.replace')
    const unread = (rules: string) => evaluate(withRules(rules, 'org.sessions.tags.replace'), engineer, tags, target)
    expect(unread('query: { x: { forbid: true } }')).toMatchObject({
      needsBody: false,
      decision: { effect: 'allow' },
      body: undefined,
    })
    expect(unread('body: { tags: { max_items: 1 } }')).toMatchObject({ needsBody: true, verdict: null, key: null })
    expect(unread('teams: zzz, body: { tags: { max_items: 1 } }'.replace('teams: zzz, ', 'apps: web, '))).toMatchObject(
      { needsBody: false },
    )

    const own = withRules('body: { create_as_user_id: { equals: principal.devin_user_id } }')
    expect(ask(own, engineer, create, {})).toMatchObject({ needsDevinUser: null, decision: { effect: 'allow' } })
    expect(ask(own, engineer, create, { create_as_user_id: 'u1' })).toMatchObject({
      needsDevinUser: 'enforced',
      verdict: null,
      key: null,
    })
    const tried = withRules('mode: shadow, body: { create_as_user_id: { equals: principal.devin_user_id } }')
    expect(ask(tried, engineer, create, { create_as_user_id: 'u1' }).needsDevinUser).toBe('shadow')
    expect(ask(own, engineer, create, { create_as_user_id: 'u1' }, { id: 'u1' })).toMatchObject({
      decision: { effect: 'allow' },
      key: { key: { id: 'actor' } },
    })
    expect(sent(ask(own, engineer, create, { create_as_user_id: 'u2' }, { id: 'u1' }))).toBe(
      'guardrail: create_as_user_id must be principal.devin_user_id, and is another text (guardrail g).',
    )
    expect(
      sent(
        ask(
          own,
          engineer,
          create,
          { create_as_user_id: 'u2' },
          { unknown: 'nobody at Devin has the address ada@corp.example' },
        ),
      ),
    ).toBe(
      'guardrail: create_as_user_id must be principal.devin_user_id, and nobody at Devin has the address ada@corp.example (guardrail g).',
    )
  })

  test('may want the grant to name the operation: neither a pattern nor a permission will do', () => {
    const remove = 'DELETE /v3/enterprise/organizations/org-a'
    const policy = (allow: string, mode = 'enforce') =>
      policyFrom({
        'teams/payments.yaml': `team: payments\nmembers: [{ groups: eng }]\norganizations: all\ngrants: [{ id: g, allow: [${allow}] }]\n`,
        'keys.yaml': keys,
        'guardrails.yaml': `guardrails: [{ id: named, on: [ent.organizations.delete], grants: named, mode: ${mode} }]\n`,
      })
    for (const allow of ['ent.organizations.*', '"*"', 'ManageOrganizations']) {
      expect(ask(policy(allow), engineer, remove).decision).toMatchObject({
        reason: 'guardrail',
        detail:
          'ent.organizations.delete must be granted by its id, and a pattern or a permission covers it (guardrail named). Change the request, or ask the owner of the guardrail.',
      })
      expect(ask(policy(allow), engineer, remove.replace('DELETE', 'GET')).decision.effect).toBe('allow')
      expect(ask(policy(allow, 'shadow'), engineer, remove).decision.effect).toBe('allow')
    }
    expect(ask(policy('ent.organizations.*, ent.organizations.delete'), engineer, remove).decision.effect).toBe('allow')
  })
})

test('in shadow mode another spelling of a bounded field is recorded and not refused', () => {
  const tried = (rules: string, on = 'org.sessions.create') => withRules(`mode: shadow, ${rules}`, on)
  for (const [policy, request, body] of [
    [
      tried('body: { title: { max_length: 5 } }'),
      create,
      {
        prompt:
          'guardrail: security_profile is spelled "securityProfile", which servers may read in different ways (guardrail g).',
        Title: 'too long',
      },
    ],
    [tried('body: { title: { max_length: 5 } }'), `${create}?title=x`, { prompt: 'x' }],
    [tried('query: { first: { at_most: 5 } }', 'org.sessions.list'), `${list}?First=99`, undefined],
  ] as const) {
    const { decision, verdict } = ask(policy, engineer, request, body)
    expect(decision.effect).toBe('allow')
    expect(verdict?.shadow[0]?.violations.map(({ bound }) => bound)).toEqual(['spelling'])
  }
})

test('regular expressions look at so many characters of a request, and stars at any number of plain ones', () => {
  const bounds =
    'body: { title: { matches: "^[a-z ]*$" }, tags: { each_matches: "^[a-z ]+$" }, prompt: { matches: "a*" } }'
  const policy = withRules(bounds)
  const asked = (title: number, tags: number) =>
    askRaw(
      policy,
      JSON.stringify({
        prompt: 'a'.repeat(500_000),
        title: 'a'.repeat(title),
        tags: Array(tags).fill('a'.repeat(100)),
      }),
    ).decision
  expect(asked(65_536, 0).effect).toBe('allow')
  expect(asked(5_536, 600).effect).toBe('allow')
  for (const decision of [asked(65_537, 0), asked(5_537, 600)])
    expect(decision.detail).toContain('beyond the 65536 characters of a request that are looked at')
})

test('a body with thousands of places is judged in one pass, and a few of them are reported', () => {
  const members = Array.from({ length: 1_900 }, (_, index) => `"m${index}":{"key":"X"}`).join(',')
  const policy = withRules(
    'body: { session_secrets.*.key: { matches: "CI_*" }, session_secrets.*.sensitive: { default: true } }',
  )
  const refused = askRaw(policy, `{"session_secrets":{${members}}}`)
  expect(refused.decision.detail).toMatch(/^session_secrets\.m0\.key must match CI_\*.*; and 45 more\. /)
  const [changes, violations] = [refused.verdict?.changes, refused.verdict?.violations]
  expect([changes?.length, violations?.length]).toEqual([50, 50])
  const changed = askRaw(policy, `{"session_secrets":{${members.replaceAll('"X"', '"CI_X"')}}}`)
  expect(changed.decision.effect).toBe('allow')
  expect(changed.body?.valuesAt('session_secrets.*.sensitive')).toHaveLength(1_900)
})

describe('a file of guardrails', () => {
  const mistakes = (rules: string): readonly string[] =>
    compileFiles({
      'teams/payments.yaml': team,
      'keys.yaml': keys,
      'guardrails.yaml': `guardrails:\n  - id: g\n    on: [org.sessions.create]\n    body:\n      ${rules}\n`,
    }).lines

  test.each<[rules: string, lines: string[]]>([
    [
      'title: { forbid: true, max_length: 3 }',
      ['guardrails.yaml:5:24: a forbidden field has no other bounds: remove "forbid" or max_length'],
    ],
    ['max_acu_limit: { at_least: 9, at_most: 5 }', ['guardrails.yaml:5:34: no number is at least 9 and at most 5']],
    [
      'max_acu_limit: { default: 30, at_most: 25 }',
      ['guardrails.yaml:5:33: the default breaks a bound of its own rule: max_acu_limit must be at most 25, and is 30'],
    ],
    [
      'title: { at_most: 5, matches: "x*" }',
      ['guardrails.yaml:5:14: no value is a number and a text: at_most and matches cannot stand together'],
    ],
    [
      'title: { equals: principal.devin_userid }',
      [
        'guardrails.yaml:5:24: unknown attribute "devin_userid": a value may name devin_user_id, subject, email, app, issuer, team, organization; did you mean "devin_user_id"?',
      ],
    ],
    [
      'tags: { add: ["team:${taem}"] }',
      [
        'guardrails.yaml:5:21: unknown attribute "taem": a value may name devin_user_id, subject, email, app, issuer, team, organization; did you mean "team"?',
      ],
    ],
    [
      'title: { matches: "^(?=x)$" }',
      [
        'guardrails.yaml:5:25: not a regular expression that runs in linear time (the syntax of RE2): invalid or unsupported Perl syntax: `(?=`',
      ],
    ],
    [
      'max_acu_limt: { at_most: 5 }',
      [
        'guardrails.yaml:5:7: warning: the API documents no field "max_acu_limt" for the operations under "on"; did you mean "max_acu_limit"?',
      ],
    ],
  ])('says where %s is wrong', (rules, lines) => {
    const [line, ...others] = mistakes(rules)
    expect([line?.replace(/^(guardrails\.yaml:\d+:)\d+/, '$1'), others]).toEqual([
      lines[0]?.replace(/^(guardrails\.yaml:\d+:)\d+/, '$1'),
      lines.slice(1),
    ])
  })

  test('wants the default of a parameter to be one that a query can hold', () => {
    const lines = compileFiles({
      'teams/payments.yaml': team,
      'keys.yaml': keys,
      'guardrails.yaml': 'guardrails:\n  - { id: g, on: [org.sessions.list], query: { tags: { default: [a, b] } } }\n',
    }).lines
    expect(lines).toEqual(['guardrails.yaml:2:65: the default of a parameter is a text, a number, true or false'])
  })

  test('says what is wrong around the rules', () => {
    const { lines } = compileFiles({
      'teams/payments.yaml': team,
      'keys.yaml': keys,
      'guardrails-a.yaml':
        'guardrails:\n  - { id: twin, on: [org.sessions.create], body: { title: { require: true } } }\n',
      'guardrails-b.yaml': `guardrails:
  - { id: twin, on: [org.sessions.create], body: { title: { require: true } } }
  - { id: reads, on: [org.sessions.list], body: { title: { require: true } } }
  - { id: unknown, on: [org.sesions.create, "org.sesions.*"], teams: [payment], query: { frist: { at_most: 5 } } }
  - { id: parameter, on: [org.sessions.list], query: { frist: { at_most: 5 } } }
`,
    })
    expect(lines).toEqual([
      'guardrails-b.yaml:2:11: guardrail "twin" is defined twice; the other one is at guardrails-a.yaml:2',
      'guardrails-b.yaml:3:49: rules on a body bind no read: none of the operations under "on" has a body',
      'guardrails-b.yaml:4:25: unknown operation "org.sesions.create"; did you mean "org.sessions.create"?',
      'guardrails-b.yaml:4:45: the pattern "org.sesions.*" covers no operation of the catalogue; did you mean "org.sessions.*"?',
      'guardrails-b.yaml:4:71: unknown team "payment"; did you mean "payments"?',
      'guardrails-b.yaml:5:63: warning: the API documents no parameter "frist" for the operations under "on"; did you mean "first"?',
    ])
  })
})
