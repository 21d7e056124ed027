// Guardrails, whatever they say: the order of files, guardrails and rules never matters, what comes out keeps every
// bound, applying them again changes nothing, and what no rule speaks of stays as it was.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { atOnce } from '../../src/policy/model/steps.ts'
import type { GuardrailDocument } from '../../src/policy/documents/guardrail-document.ts'
import { applyRules, type GuardedRequest, type GuardrailVerdict } from '../../src/policy/guardrails/apply.ts'
import { boundGuardrails } from '../../src/policy/guardrails/bound.ts'
import { CallerAttributes } from '../../src/policy/guardrails/attributes.ts'
import { compileGuardrails } from '../../src/policy/guardrails/compile.ts'
import { serializeStrictJson } from '../../src/json/value.ts'
import { parseStrictJson } from '../../src/json/strict-parser.ts'
import { catalogue, operationOf, principalOf } from '../support/policies.ts'

type Written = GuardrailDocument['body'][string]

const words = fc.constantFrom('corp/a', 'corp/b', 'evil', '')
const small = fc.integer({ min: 0, max: 9 })
/** Rules as people write them; contradictions between two of them are part of the game. */
const numberRule = fc.record(
  { default: small, at_most: fc.integer({ min: 4, max: 9 }), at_least: fc.integer({ min: 0, max: 5 }) },
  { requiredKeys: [] },
)
const textRule = fc.record(
  {
    default: words,
    one_of: fc.array(words, { minLength: 1, maxLength: 3 }),
    matches: fc.constantFrom('corp/*', '*'),
    max_length: fc.integer({ min: 4, max: 9 }),
  },
  { requiredKeys: [] },
)
const listRule = fc.record(
  {
    add: fc.array(words, { minLength: 1, maxLength: 2 }),
    each_matches: fc.constantFrom('*', '*', 'corp/*'),
    max_items: fc.integer({ min: 2, max: 9 }),
  },
  { requiredKeys: [] },
)
const presence = fc.constantFrom<Written>({ require: true }, { require: true }, { forbid: true })
const seldom = (rule: fc.Arbitrary<object>): fc.Arbitrary<object> =>
  fc.oneof({ weight: 5, arbitrary: rule }, { weight: 1, arbitrary: presence })
const fields: Readonly<Record<string, fc.Arbitrary<object>>> = {
  n: seldom(numberRule),
  t: seldom(textRule),
  l: seldom(listRule),
  'o.n': seldom(numberRule),
  'many.*.n': seldom(numberRule),
}

/** Two fields a guardrail: with more of them nothing would get through. */
function few(rules: object): object {
  return Object.fromEntries(Object.entries(rules).slice(0, 2))
}

function guardrail(id: string): fc.Arbitrary<GuardrailDocument> {
  return fc
    .record({
      body: fc.record(fields, { requiredKeys: [] }).map(few),
      query: fc.record({ first: numberRule, tags: listRule }, { requiredKeys: [] }),
      mode: fc.constantFrom('enforce', 'enforce', 'shadow'),
    })
    .map(({ body, query, mode }): GuardrailDocument => ({
      id,
      line: 1,
      on: ['org.sessions.create'],
      teams: 'all',
      apps: 'all',
      except: [],
      grants: null,
      response: null,
      remarks: { owner: null, contact: null, description: null },
      mode: mode === 'shadow' ? 'shadow' : 'enforce',
      // The shapes above are those of the schema, with keys left out.
      body: body as Readonly<Record<string, Written>>,
      query: query as Readonly<Record<string, Written>>,
    }))
}

/** Mostly of the type that rules on the field want, so that enough gets through. */
const mostly = (wanted: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 7, arbitrary: wanted }, { weight: 1, arbitrary: value })
const guardrails = fc.tuple(guardrail('a'), guardrail('b'), guardrail('c'))
const value = fc.oneof(small, words, fc.array(words, { maxLength: 4 }), fc.constantFrom(null, true, {}, [1]))
const body = fc.record(
  {
    n: mostly(small),
    t: mostly(words),
    l: mostly(fc.array(words, { maxLength: 2 })),
    o: mostly(fc.record({ n: mostly(small), kept: small }, { requiredKeys: [] })),
    many: fc.array(fc.record({ n: mostly(small) }, { requiredKeys: [] }), { maxLength: 2 }),
    kept: fc.jsonValue(),
  },
  { requiredKeys: [] },
)
const query = fc
  .array(
    fc.oneof(
      small.map((first) => `first=${first}`),
      words.map((tag) => `tags=${encodeURIComponent(tag)}`),
      fc.constant('kept=%2f'),
    ),
    { maxLength: 4 },
  )
  .map((pairs) => pairs.join('&'))

const caller = new CallerAttributes(principalOf({ app: 'cli' }), 'payments', 'org-a', { id: 'u1' })

/** As they would be compiled from files in this order; contradictions inside one rule are kept, so that they are judged. */
function apply(documents: readonly GuardrailDocument[], request: GuardedRequest): GuardrailVerdict {
  const steps = compileGuardrails(
    documents.map((each) => ({
      kind: 'guardrails',
      file: 'x.yaml',
      guardrails: [each],
      positionOf: () => ({ line: 1, column: 1 }),
    })),
    new Set(),
    catalogue,
    [],
  )
  const table = atOnce(steps)
  return applyRules(boundGuardrails(table.on(operationOf('org.sessions.create')) ?? []), request, caller)
}

function requestOf(json: unknown, text: string): GuardedRequest {
  return {
    query: text,
    body: parseStrictJson(Buffer.from(JSON.stringify(json))),
    granted: { operation: 'x', byName: true, parameters: [] },
  }
}

function comparable({ request, bound, ...verdict }: GuardrailVerdict): unknown {
  return {
    ...verdict,
    bound: bound.map(({ id }) => id),
    query: request.query,
    body: request.body === undefined ? null : serializeStrictJson(request.body).toString(),
  }
}

/** A document with its rules, and the names in each rule, in another order. */
function turned(document: GuardrailDocument): GuardrailDocument {
  const turn = (rules: GuardrailDocument['body']) =>
    Object.fromEntries(
      Object.entries(rules)
        .reverse()
        .map(([field, rule]) => [field, Object.fromEntries(Object.entries(rule).reverse())]),
    )
  return { ...document, body: turn(document.body), query: turn(document.query) }
}

/** Every bound of a rule on a plain value, in the simplest form. */
function keeps(rule: Written, found: unknown): boolean {
  if (found === undefined) return rule.require !== true
  const number = typeof found === 'number' ? found : Number.NaN
  const text = typeof found === 'string' ? found : null
  const items: readonly unknown[] | null = Array.isArray(found) ? found : null
  // One character at least, and no path that leads elsewhere.
  const like = (pattern: string, word: unknown): boolean =>
    typeof word === 'string' && (pattern === '*' ? word !== '' : /^corp\/(?!\/|$)/.test(word))
  return (
    rule.forbid !== true &&
    !(rule.require === true && found === null) &&
    !(rule.at_most !== undefined && !(number <= rule.at_most)) &&
    !(rule.at_least !== undefined && !(number >= rule.at_least)) &&
    !(rule.one_of !== undefined && !rule.one_of.includes(text)) &&
    !(rule.matches !== undefined && !like(rule.matches, text)) &&
    !(rule.max_length !== undefined && !(text !== null && text.length <= rule.max_length)) &&
    !(rule.max_items !== undefined && !(items !== null && items.length <= rule.max_items)) &&
    !(
      rule.each_matches !== undefined && !(items !== null && items.every((item) => like(rule.each_matches ?? '', item)))
    ) &&
    !(rule.add !== undefined && !(items !== null && rule.add.every((member) => items.includes(member))))
  )
}

function valuesAt(json: unknown, [step, ...rest]: readonly string[]): readonly unknown[] {
  if (step === undefined) return [json]
  if (step === '*') return Array.isArray(json) ? json.flatMap((item) => valuesAt(item, rest)) : []
  const holder = typeof json === 'object' && json !== null && !Array.isArray(json) ? json : {}
  return valuesAt(Reflect.get(holder, step), rest)
}

describe('guardrails', () => {
  test('mean the same in every order of files, guardrails, rules and bounds', () => {
    fc.assert(
      fc.property(
        guardrails,
        fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
        body,
        query,
        (written, order, json, text) => {
          const shuffled = order.flatMap((index) => written[index] ?? []).map(turned)
          expect(comparable(apply(shuffled, requestOf(json, text)))).toEqual(
            comparable(apply(written, requestOf(json, text))),
          )
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('let through only what keeps every bound, and nothing that does is refused', () => {
    let through = 0
    fc.assert(
      fc.property(guardrails, body, (written, json) => {
        const { request, violations } = apply(written, requestOf(json, ''))
        const result: unknown =
          request.body === undefined ? undefined : JSON.parse(serializeStrictJson(request.body).toString())
        const kept = written
          .filter(({ mode }) => mode === 'enforce')
          .every((each) =>
            Object.entries(each.body).every(([field, rule]) =>
              valuesAt(result, field.split('.')).every((found) => keeps(rule, found)),
            ),
          )
        const inBody = violations.filter((violation) => violation.in === 'body' && violation.bound !== 'object')
        // A place that cannot be made is refused on its own.
        if (violations.some(({ bound }) => bound === 'object')) return
        expect(inBody.length === 0, JSON.stringify({ result, violations })).toBe(kept)
        if (kept) through += 1
      }),
      { numRuns: 1500 },
    )
    expect(through).toBeGreaterThan(100)
  })

  test('change nothing the second time, and nothing that they do not speak of', () => {
    let changed = 0
    fc.assert(
      fc.property(guardrails, body, query, (written, json, text) => {
        const first = apply(written, requestOf(json, text))
        if (first.violations.length > 0) return
        const second = apply(written, first.request)
        expect([second.changes, second.violations, second.request]).toEqual([[], [], first.request])
        const result: unknown =
          first.request.body === undefined ? {} : JSON.parse(serializeStrictJson(first.request.body).toString())
        // Through JSON as the request was, which knows no -0.
        expect(Reflect.get(Object(result), 'kept')).toEqual(
          Reflect.get(Object(JSON.parse(JSON.stringify(json))), 'kept'),
        )
        expect(first.request.query.startsWith(text)).toBe(true)
        if (first.changes.length === 0) expect(first.request).toEqual(requestOf(json, text))
        else changed += 1
      }),
      { numRuns: 1500 },
    )
    expect(changed).toBeGreaterThan(30)
  })
})
