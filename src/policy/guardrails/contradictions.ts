// What is wrong with a guardrail although it is well-formed: bounds that no value can keep, and names that the API does
// not know, which would bound nothing. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import { nearest } from '../../config/nearest.ts'
import { emptyPrincipal } from '../../identity/principal.ts'
import type { FieldRule, GuardrailDocument } from '../documents/guardrail-document.ts'
import { CallerAttributes, type FilledIn } from './attributes.ts'
import { boundField } from './bound.ts'
import { violationsOf, type Site } from './check.ts'
import { JsonNumber, type StrictJson } from '../../json/value.ts'
import { compareNumbers } from '../../json/decimal.ts'
import type { Rule, ReportMistake } from './guardrail.ts'
import { parameterText } from './places.ts'

/** Reports bounds of one rule that contradict each other: every request that they speak of would be refused. */
export function contradictionsOf(rule: Rule, written: FieldRule, site: Site, report: ReportMistake): void {
  const set = Object.entries(written).flatMap(([name, bound]) => (bound === undefined || bound === false ? [] : [name]))
  if (rule.forbid && set.length > 1)
    report(
      'error',
      ['forbid'],
      `a forbidden field has no other bounds: remove "forbid" or ${set.find((name) => name !== 'forbid') ?? ''}`,
    )
  if (rule.atMost !== null && rule.atLeast !== null && compareNumbers(rule.atLeast, rule.atMost) > 0)
    report('error', ['at_least'], `no number is at least ${rule.atLeast} and at most ${rule.atMost}`)
  if (site === 'body') {
    const kinds = (['number', 'text', 'list'] as const).filter((kind) => set.some((name) => kindOf[name] === kind))
    if (kinds.length > 1)
      report(
        'error',
        [],
        `no value is a ${kinds.join(' and a ')}: ${set.filter((name) => kindOf[name] !== undefined).join(' and ')} cannot stand together`,
      )
  }
  if (rule.default !== null && rule.default.constant) {
    const filled = rule.default.for(nobody)
    if (
      site === 'query' &&
      'value' in filled &&
      typeof filled.value === 'object' &&
      !(filled.value instanceof JsonNumber)
    )
      report('error', ['default'], 'the default of a parameter is a text, a number, true or false')
    const bounds = boundField(rule.field, [{ rule: { ...rule, add: [] }, guardrail: '' }])
    const value = valueSent(filled, site)
    // What names the caller is known only when there is one.
    if (rule.equals?.constant === false || rule.oneOf?.some(({ constant }) => !constant) === true) return
    const [broken] = violationsOf(bounds, value, rule.field, site, nobody)
    if (broken !== undefined) report('error', ['default'], `the default breaks a bound of its own rule: ${broken.text}`)
  }
}

function valueSent(filled: FilledIn, site: Site): StrictJson | undefined {
  if ('lacks' in filled) return undefined
  return site === 'query' ? [parameterText(filled.value)] : filled.value
}

const kindOf: Readonly<Record<string, 'number' | 'text' | 'list' | undefined>> = {
  at_most: 'number',
  at_least: 'number',
  matches: 'text',
  max_length: 'text',
  each_matches: 'list',
  add: 'list',
  max_items: 'list',
}

const nobody = new CallerAttributes(emptyPrincipal, '', null, { unknown: '' })

/**
 * Warns about rules on a field or parameter that the API documents for none of the guardrail's operations: a typing
 * mistake would bound nothing. Operations that document no body at all (extension files) say nothing.
 */
export function undocumentedFields(
  written: GuardrailDocument,
  operations: readonly Operation[],
  report: ReportMistake,
): void {
  const writes = operations.filter(({ method }) => method !== 'GET')
  if (Object.keys(written.body).length > 0 && operations.length > 0 && writes.length === 0)
    report('error', ['body'], 'rules on a body bind no read: none of the operations under "on" has a body')
  const check = (site: Site, names: readonly string[], documented: ReadonlySet<string>): void => {
    if (documented.size === 0) return
    for (const name of names) {
      const [top = ''] = name.split('.')
      if (top === '*' || documented.has(site === 'body' ? top : name)) continue
      const near = nearest(site === 'body' ? top : name, documented)
      const meant = near === null ? '' : `; did you mean "${near}"?`
      report(
        'warning',
        [site, name],
        `the API documents no ${site === 'body' ? 'field' : 'parameter'} "${top}" for the operations under "on"${meant}`,
      )
    }
  }
  check(
    'body',
    Object.keys(written.body),
    new Set(writes.flatMap(({ fields, conditional }) => [...fields, ...conditional.map(({ field }) => field)])),
  )
  check('query', Object.keys(written.query), new Set(operations.flatMap(({ parameters }) => parameters)))
}
