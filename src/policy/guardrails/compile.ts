// Documents of guardrails → the table that is applied to requests, with every contradiction at its place. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { didYouMean } from '../../config/nearest.ts'
import { operationsNamed } from '../compile/allow.ts'
import type { FieldRule, GuardrailDocument, GuardrailsDocument } from '../documents/guardrail-document.ts'
import { compileValue, type ValueTemplate } from './attributes.ts'
import { contradictionsOf, undocumentedFields } from './contradictions.ts'
import { boundGuardrails } from './bound.ts'
import {
  binding,
  type Guardrail,
  type GuardrailTable,
  type Rule,
  type BoundGuardrails,
  type ReportMistake,
} from './guardrail.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import { reservationOf } from './reserve.ts'
import { checkResponse } from './responses.ts'
import { hasEnded } from '../model/ending.ts'
import { ownerOf } from '../model/remarks.ts'

/** Compiles every guardrail; `teams` are the ids of all teams. With an error among the diagnostics the table must not be used. */
export function compileGuardrails(
  documents: readonly GuardrailsDocument[],
  teams: readonly string[],
  catalogue: Catalogue,
  diagnostics: Diagnostic[],
): GuardrailTable {
  const places = new Map<string, string>()
  const byOperation: Guardrail[][] = []
  const all: Guardrail[] = []
  for (const document of documents) {
    for (const [index, written] of document.guardrails.entries()) {
      const report: ReportMistake = (severity, path, message) =>
        diagnostics.push({
          file: document.file,
          ...document.positionOf(['guardrails', index, ...path]),
          severity,
          message,
        })
      const source = { file: document.file, line: document.positionOf(['guardrails', index, 'id']).line }
      const other = places.get(written.id)
      if (other !== undefined)
        report('error', ['id'], `guardrail "${written.id}" is defined twice; the other one is at ${other}`)
      places.set(written.id, `${source.file}:${source.line}`)
      const operations = operationsOf(written, catalogue, report)
      checkTeams(written, teams, report)
      undocumentedFields(written, operations, report)
      checkResponse(written, catalogue, report)
      const { mode } = written
      const guardrail = {
        id: written.id,
        source,
        ...whomOf(written),
        ...rulesOf(written, report),
        named: written.grants === 'named',
        response: written.response,
        remarks: written.remarks,
        owner: ownerOf(written.remarks),
      }
      if (mode === 'off') continue
      const compiled: Guardrail = { ...guardrail, mode }
      all.push(compiled)
      for (const operation of operations) bind(byOperation, operation, compiled)
    }
  }
  return tableOf(all, byOperation)
}

function tableOf(
  all: readonly Guardrail[],
  byOperation: readonly (readonly Guardrail[] | undefined)[],
): GuardrailTable {
  const sorted = byOperation.map((list) => list?.toSorted(byId))
  const onAnswers = sorted.map((list) => {
    const ofAnswer = list?.filter(({ response }) => response !== null) ?? []
    return ofAnswer.length > 0 ? ofAnswer : undefined
  })
  /** By operation, and by the ids of the set. */
  const bySet: Map<string, BoundGuardrails>[] = []
  const table: GuardrailTable = {
    on: (operation) => sorted[operation.index],
    binding({ index }, team, app) {
      const bound = sorted[index]
      if (bound === undefined) return nothingBinds
      const set = binding(bound, team, app)
      const key = set.map(({ id }) => id).join(' ')
      const known = (bySet[index] ??= new Map())
      const found = known.get(key) ?? boundGuardrails(set)
      known.set(key, found)
      return found
    },
    onAnswer: ({ index }) => onAnswers[index],
    boundsBody: ({ index }) => sorted[index]?.some(({ body }) => body.length > 0) === true,
    all: all.toSorted(byId),
    at(nowMs) {
      if (!all.some(({ exceptions }) => exceptions.some(({ ending }) => hasEnded(ending, nowMs)))) return table
      const now = (each: Guardrail): Guardrail => ({
        ...each,
        exceptions: each.exceptions.filter(({ ending }) => !hasEnded(ending, nowMs)),
      })
      return tableOf(
        all.map(now),
        byOperation.map((list) => list?.map(now)),
      )
    },
  }
  return table
}

function byId(a: Guardrail, b: Guardrail): number {
  return a.id < b.id ? -1 : 1
}

const nothingBinds = boundGuardrails([])

/** The body of a read is refused whatever it holds, so rules on it would have nothing to look at. */
function bind(byOperation: Guardrail[][], operation: Operation, guardrail: Guardrail): void {
  const bound = operation.method === 'GET' ? { ...guardrail, body: [] } : guardrail
  if (bound.body.length > 0 || bound.query.length > 0 || bound.named || bound.response !== null)
    (byOperation[operation.index] ??= []).push(bound)
}

function operationsOf({ on }: GuardrailDocument, catalogue: Catalogue, report: ReportMistake): readonly Operation[] {
  const found = new Set<Operation>()
  for (const [index, word] of on.entries()) {
    const named = operationsNamed(catalogue, word)
    if (typeof named === 'string') report('error', ['on', index], named)
    else for (const operation of named) found.add(operation)
  }
  return [...found]
}

function checkTeams({ teams, except }: GuardrailDocument, known: readonly string[], report: ReportMistake): void {
  for (const [place, each] of except.entries()) {
    for (const [index, team] of (each.teams ?? []).entries())
      if (!known.includes(team))
        report('error', ['except', place, 'teams', index], `unknown team "${team}"${didYouMean(team, known)}`)
  }
  for (const [index, team] of (teams === 'all' ? [] : teams).entries()) {
    if (!known.includes(team)) report('error', ['teams', index], `unknown team "${team}"${didYouMean(team, known)}`)
  }
}

function whomOf({ teams, apps, except }: GuardrailDocument): Pick<Guardrail, 'teams' | 'apps' | 'exceptions'> {
  return {
    teams: teams === 'all' ? teams : new Set(teams),
    apps: apps === 'all' ? apps : new Set(apps),
    exceptions: except.map((each) => ({
      teams: each.teams === null ? null : new Set(each.teams),
      apps: each.apps === null ? null : new Set(each.apps),
      ending: each.ending,
    })),
  }
}

function rulesOf({ body, query }: GuardrailDocument, report: ReportMistake): Pick<Guardrail, 'body' | 'query'> {
  const rules = (site: 'body' | 'query', written: Readonly<Record<string, FieldRule>>): Rule[] =>
    Object.entries(written)
      .map(([field, rule]) => {
        const at: ReportMistake = (severity, path, message) => report(severity, [site, field, ...path], message)
        const compiled = compileRule(field, rule, at)
        contradictionsOf(compiled, rule, site, at)
        return compiled
      })
      .sort((a, b) => (a.field < b.field ? -1 : 1))
  return { body: rules('body', body), query: rules('query', query) }
}

function compileRule(field: string, written: FieldRule, report: ReportMistake): Rule {
  const value = (given: unknown, ...path: readonly (string | number)[]): ValueTemplate | null => {
    if (given === undefined) return null
    const compiled = compileValue(given)
    if (!('error' in compiled)) return compiled
    report('error', path, compiled.error)
    return null
  }
  const values = (given: readonly unknown[] | undefined, name: string): ValueTemplate[] | null =>
    given?.flatMap((each, index) => value(each, name, index) ?? []) ?? null
  const pattern = (given: string | undefined, name: string): Pattern | null => {
    if (given === undefined) return null
    const compiled = compilePattern(given)
    if (!('error' in compiled)) return compiled
    report('error', [name], compiled.error)
    return null
  }
  return {
    field,
    forbid: written.forbid === true,
    require: written.require === true,
    default: value(written.default, 'default'),
    add: values(written.add, 'add') ?? [],
    reserve: (written.reserve ?? []).flatMap((text, index) => {
      const template = value(text, 'reserve', index)
      if (template === null) return []
      const reservation = reservationOf(text, template)
      if (reservation === null)
        report('error', ['reserve', index], 'say what is reserved in front of the attribute, as in "team:${team}"')
      return reservation ?? []
    }),
    atMost: written.at_most === undefined ? null : JSON.stringify(written.at_most),
    atLeast: written.at_least === undefined ? null : JSON.stringify(written.at_least),
    equals: value(written.equals, 'equals'),
    oneOf: values(written.one_of, 'one_of'),
    matches: pattern(written.matches, 'matches'),
    eachMatches: pattern(written.each_matches, 'each_matches'),
    maxItems: written.max_items ?? null,
    maxLength: written.max_length ?? null,
  }
}
