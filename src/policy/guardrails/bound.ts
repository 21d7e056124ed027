// The guardrails that bind a request, as they are applied: the rules of all of them by field, each with the bounds
// that no other one undercuts. Pure.

import { compareNumbers } from '../../json/decimal.ts'
import { foldName } from '../../catalogue/name-folding.ts'
import type { BoundField, BoundGuardrails, BoundRule, Guardrail, Layer, Rule, Tightest } from './guardrail.ts'
import { nameTree } from '../model/name-tree.ts'

/** Collects the rules of guardrails, which are sorted by id. Made once, because it costs about as much as applying them. */
export function boundGuardrails(guardrails: readonly Guardrail[]): BoundGuardrails {
  return {
    all: guardrails,
    enforced: layerOf(guardrails.filter(({ mode }) => mode === 'enforce')),
    shadow: guardrails
      .filter(({ mode }) => mode !== 'enforce')
      .map((each) => ({ guardrail: each, ...layerOf([each]) })),
  }
}

function layerOf(guardrails: readonly Guardrail[]): Layer {
  const query = [...byField(guardrails, 'query')].map(([field, rules]) => boundField(field, rules))
  const inBody = byField(guardrails, 'body')
  const body = [...inBody].map(([field, rules]) => {
    const holders = field.split('.').map((_, index, steps) => steps.slice(0, index + 1).join('.'))
    const forbidden = holders.some((holder) => inBody.get(holder)?.some(({ rule }) => rule.forbid) === true)
    const bounds = boundField(field, rules)
    return { ...bounds, putsNothing: bounds.putsNothing || forbidden }
  })
  return { guardrails, query, body, names: nameTree(body.map(({ field }) => field)), bodyInQuery: foldedFields(body) }
}

/** By the whole dotted name and by its first step: `limits.max`, `limits[max]`. */
function foldedFields(body: readonly BoundField[]): ReadonlyMap<string, BoundField> {
  const found = new Map<string, BoundField>()
  for (const bounds of body) {
    for (const name of [bounds.field.replaceAll('*', ''), bounds.steps[0] ?? '']) {
      const folded = foldName(name)
      if (folded !== '' && !found.has(folded)) found.set(folded, bounds)
    }
  }
  return found
}

/** One field by itself. */
export function boundField(field: string, rules: readonly BoundRule[]): BoundField {
  const forbid = rules.find(({ rule }) => rule.forbid)
  return {
    field,
    steps: field.split('.'),
    rules,
    require: rules.find(({ rule }) => rule.require),
    forbid,
    atMost: tightest(
      rules,
      ({ atMost }) => atMost,
      (a, b) => compareNumbers(a, b) < 0,
    ),
    atLeast: tightest(
      rules,
      ({ atLeast }) => atLeast,
      (a, b) => compareNumbers(a, b) > 0,
    ),
    maxLength: tightest(
      rules,
      ({ maxLength }) => maxLength,
      (a, b) => a < b,
    ),
    maxItems: tightest(
      rules,
      ({ maxItems }) => maxItems,
      (a, b) => a < b,
    ),
    reserved: rules.flatMap((by) => by.rule.reserve.map((reservation) => ({ by, reservation }))),
    putsNothing: forbid !== undefined || !rules.some(({ rule }) => rule.default !== null || rule.add.length > 0),
  }
}

function tightest<T>(
  rules: readonly BoundRule[],
  boundOf: (rule: Rule) => T | null,
  isTighter: (a: T, b: T) => boolean,
): Tightest<T> | null {
  let best: Tightest<T> | null = null
  for (const by of rules) {
    const bound = boundOf(by.rule)
    if (bound !== null && (best === null || isTighter(bound, best.bound))) best = { by, bound }
  }
  return best
}

function byField(guardrails: readonly Guardrail[], site: 'query' | 'body'): ReadonlyMap<string, readonly BoundRule[]> {
  const all = guardrails.flatMap(({ id, [site]: rules }) => rules.map((rule): BoundRule => ({ rule, guardrail: id })))
  const found = Map.groupBy(all, ({ rule }) => rule.field)
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}
