// The guardrails of a decision record: which applied, what they changed or refused, and the values they read, so that
// a decision can be replayed. Never a body, and no text that may be long or secret.

import type { Evaluation } from '../../policy/decision/evaluate.ts'
import type { Violation } from '../../policy/guardrails/check.ts'
import type { Rule } from '../../policy/guardrails/guardrail.ts'
import { parametersByName, valuesOf, type ParametersByName } from '../../policy/guardrails/places.ts'
import type { GuardrailChange } from '../../policy/guardrails/added-values.ts'
import { isNumberText } from '../../json/decimal.ts'
import { JsonNumber } from '../../json/value.ts'
import type { GuardrailFinding, GuardrailsEntry } from '../../records/entries.ts'
import { maskSecrets } from '../../records/mask.ts'

/** The entry of one evaluation; null where no guardrail binds the request. */
export function guardrailsEntry(evaluation: Evaluation): GuardrailsEntry | null {
  const { verdict } = evaluation
  if (verdict === null || verdict.bound.length === 0) return null
  const filters = new Set(verdict.bound.flatMap(({ id, response }) => (response === null ? [] : [id])))
  return {
    applied: verdict.bound.flatMap(({ id, mode }) => (mode === 'enforce' ? [id] : [])),
    changed: verdict.changes.map(ofChange),
    refused: verdict.violations.map(ofViolation),
    shadow: verdict.shadow.map(({ guardrail, changes, violations }) => ({
      guardrail,
      effect:
        violations.length > 0 ? 'deny' : changes.length > 0 ? 'change' : filters.has(guardrail) ? 'filter' : 'allow',
      findings: [...changes.map(ofChange), ...violations.map(ofViolation)],
    })),
    filtered: filteredOf(evaluation),
    read: valuesRead(evaluation),
  }
}

function filteredOf({ decision: { effect, response } }: Evaluation): GuardrailsEntry['filtered'] {
  return effect === 'deny' || response === null
    ? null
    : { organizations: response.organizations, fields: response.drop }
}

function ofChange({ guardrail, in: site, place, bound }: GuardrailChange): GuardrailFinding {
  return { guardrail, in: site, place: masked(place), bound }
}

function ofViolation({ guardrail, in: site, field, bound }: Violation): GuardrailFinding {
  return { guardrail, in: site, place: field, bound }
}

function valuesRead({ verdict, body, target }: Evaluation): Record<string, unknown> {
  const read: Record<string, unknown> = {}
  let parameters: ParametersByName | null = null
  for (const guardrail of verdict?.bound ?? []) {
    for (const rule of guardrail.body) {
      const values = body?.valuesAt(rule.field) ?? []
      // Of several rules on one field the one that compares texts says them.
      const place = `body.${rule.field}`
      if (values.length > 0 && (comparesTexts(rule) || !Object.hasOwn(read, place)))
        read[place] = shownOne(values, rule)
    }
    for (const rule of guardrail.query) {
      const found = valuesOf((parameters ??= parametersByName(target.query)), rule.field)
      if ('spelled' in found) read[`query.${rule.field}`] = 'ambiguous'
      else if (found.values.length > 0) read[`query.${rule.field}`] = shownOne(found.values, rule, isShortNumber)
    }
  }
  return read
}

const mostItems = 50

/** `isPlain`: texts that are recorded as they are. */
function shownOne(values: readonly unknown[], rule: Rule, isPlain: (value: unknown) => boolean = () => false): unknown {
  const show = (value: unknown): unknown => (isPlain(value) ? value : shown(value, rule))
  return values.length === 1 ? show(values[0]) : values.slice(0, mostItems).map(show)
}

/** A number in a query is a text. */
export function isShortNumber(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 64 && isNumberText(value)
}

/** Members with content that only the upstream should read. */
const confidential = /secret|password|token|prompt|message|value|body|contents/i

function comparesTexts({ oneOf, equals, matches, eachMatches }: Rule): boolean {
  return oneOf !== null || equals !== null || matches !== null || eachMatches !== null
}

/** Numbers and booleans as they are, a text only where the rule compares it, and of anything else its type. */
function shown(value: unknown, rule: Rule): unknown {
  if (value === null || typeof value === 'boolean') return value
  if (value instanceof JsonNumber) return value.toNumber() ?? value.raw.slice(0, 64)
  const compares = comparesTexts(rule)
  if (typeof value === 'string') {
    if (!compares || confidential.test(rule.field)) return `(text of ${value.length})`
    return masked(value.slice(0, 128))
  }
  if (!Array.isArray(value)) return '(object)'
  return compares ? value.slice(0, mostItems).map((item) => shown(item, rule)) : `(list of ${value.length})`
}

function masked(text: string): string {
  return maskSecrets(text)
}
