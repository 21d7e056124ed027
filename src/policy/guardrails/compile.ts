// Documents of guardrails → the table that is applied to requests, with every contradiction at its place. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { fewHints, type didYouMean } from '../../config/nearest.ts'
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
import { hasEnded, type RightEnding } from '../model/ending.ts'
import { ownerOf } from '../model/remarks.ts'
import type { Steps } from '../model/steps.ts'

/** Compiles every guardrail; `teams` are the ids of all teams. With an error among the diagnostics the table must not be used. */
export function* compileGuardrails(
  documents: readonly GuardrailsDocument[],
  teams: ReadonlySet<string>,
  catalogue: Catalogue,
  diagnostics: Diagnostic[],
): Steps<GuardrailTable> {
  const places = new Map<string, string>()
  const all: PlacedGuardrail[] = []
  const hint = fewHints()
  for (const document of documents) {
    for (const [index, written] of document.guardrails.entries()) {
      const report: ReportMistake = (severity, path, message) =>
        diagnostics.push({
          file: document.file,
          ...document.positionOf(['guardrails', index, ...path]),
          severity,
          message,
        })
      const source = { file: document.file, line: written.line }
      const other = places.get(written.id)
      if (other !== undefined)
        report('error', ['id'], `guardrail "${written.id}" is defined twice; the other one is at ${other}`)
      places.set(written.id, `${source.file}:${source.line}`)
      const operations = operationsOf(written, catalogue, report, hint)
      checkTeams(written, teams, report, hint)
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
      if (mode !== 'off')
        all.push({ guardrail: { ...guardrail, mode }, operations: new Set(operations.map((each) => each.index)) })
      yield
    }
  }
  const operationCount = catalogue.operations.length
  return tableOf(
    all.sort((a, b) => (a.guardrail.id < b.guardrail.id ? -1 : 1)),
    operationCount,
  )
}

/** A guardrail and the indexes of the operations that it names. */
interface PlacedGuardrail {
  readonly guardrail: Guardrail
  readonly operations: ReadonlySet<number>
}

/** What binds an operation is found when it is first asked for. `all`: by id. */
function tableOf(all: readonly PlacedGuardrail[], operationCount: number): GuardrailTable {
  const onOperation = Array.from({ length: operationCount }, (): OnOperation | null => null)
  const on = (operation: Operation): OnOperation => (onOperation[operation.index] ??= onOne(all, operation))
  /** By operation, and by the ids of the set. */
  const bySet: Map<string, BoundGuardrails>[] = []
  const table: GuardrailTable = {
    on: (operation) => on(operation).bound,
    binding(operation, team, app) {
      const { bound } = on(operation)
      if (bound === undefined) return nothingBinds
      const { index } = operation
      const set = binding(bound, team, app)
      const key = set.map(({ id }) => id).join(' ')
      const known = (bySet[index] ??= new Map())
      const found = known.get(key) ?? boundGuardrails(set)
      known.set(key, found)
      return found
    },
    onAnswer: (operation) => on(operation).ofAnswer,
    boundsBody: (operation) => on(operation).boundsBody,
    all: all.map(({ guardrail }) => guardrail),
    at(nowMs) {
      const isOver = ({ ending }: { readonly ending: RightEnding }): boolean => hasEnded(ending, nowMs)
      if (!all.some(({ guardrail }) => guardrail.exceptions.some(isOver))) return table
      const now = all.map((each) => ({
        ...each,
        guardrail: { ...each.guardrail, exceptions: each.guardrail.exceptions.filter((one) => !isOver(one)) },
      }))
      return tableOf(now, operationCount)
    },
  }
  return table
}

/** What binds one operation; undefined for none. */
interface OnOperation {
  readonly bound: readonly Guardrail[] | undefined
  readonly ofAnswer: readonly Guardrail[] | undefined
  readonly boundsBody: boolean
}

function onOne(all: readonly PlacedGuardrail[], { index, method }: Operation): OnOperation {
  const bound: Guardrail[] = []
  for (const { guardrail, operations } of all) {
    if (!operations.has(index)) continue
    // The body of a read is refused whatever it holds, so rules on it would have nothing to look at.
    const here = method === 'GET' ? { ...guardrail, body: [] } : guardrail
    if (here.body.length > 0 || here.query.length > 0 || here.named || here.response !== null) bound.push(here)
  }
  const ofAnswer = bound.filter(({ response }) => response !== null)
  return {
    bound: bound.length > 0 ? bound : undefined,
    ofAnswer: ofAnswer.length > 0 ? ofAnswer : undefined,
    boundsBody: bound.some(({ body }) => body.length > 0),
  }
}

const nothingBinds = boundGuardrails([])

function operationsOf(
  { on }: GuardrailDocument,
  catalogue: Catalogue,
  report: ReportMistake,
  hint: typeof didYouMean,
): readonly Operation[] {
  const found = new Set<Operation>()
  for (const [index, word] of on.entries()) {
    const named = operationsNamed(catalogue, word, hint)
    if (typeof named === 'string') report('error', ['on', index], named)
    else for (const operation of named) found.add(operation)
  }
  return [...found]
}

function checkTeams(
  { teams, except }: GuardrailDocument,
  known: ReadonlySet<string>,
  report: ReportMistake,
  hint: typeof didYouMean,
): void {
  for (const [place, each] of except.entries()) {
    for (const [index, team] of (each.teams ?? []).entries())
      if (!known.has(team))
        report('error', ['except', place, 'teams', index], `unknown team "${team}"${hint(team, known)}`)
  }
  for (const [index, team] of (teams === 'all' ? [] : teams).entries()) {
    if (!known.has(team)) report('error', ['teams', index], `unknown team "${team}"${hint(team, known)}`)
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
