// Values of conditions that no token will have: patterns, which are not looked for, and issuers that are not configured. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { didYouMean } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import type { DevinUsersDocument, TeamDocument, TestDocument } from '../documents/document.ts'
import type { ConditionDocument } from '../model/condition.ts'
import { warningAt, warningsAt } from './coverage.ts'

/** `issuers`: those of the configuration; null where they are not known. */
export function conditionWarnings(
  teams: readonly TeamDocument[],
  users: readonly DevinUsersDocument[],
  issuers: readonly string[] | null,
  tests: readonly TestDocument[],
): readonly Diagnostic[] {
  // A test of a caller who cannot exist passes for another reason than was meant.
  const ofTests = tests.flatMap((document) =>
    document.blocks.flatMap(({ as }, index) => [
      ...(as.groups ?? []).flatMap((group, place) =>
        warningsAt(document, [index, 'as', 'groups', place], patternDoubt(group)),
      ),
      ...(['app', 'email', 'issuer'] as const).flatMap((name) => {
        const value = as[name]
        if (value === undefined) return []
        const doubt = patternDoubt(value) ?? (name === 'issuer' ? issuerDoubt(value, issuers) : null)
        return warningsAt(document, [index, 'as', name], doubt)
      }),
    ]),
  )
  const ofTeams = teams.flatMap((document) => [
    ...valuesOfNobody(document),
    ...document.members.flatMap((entry, index) => entryWarnings(document, ['members', index], entry, issuers)),
    ...document.grants.flatMap(({ when }, index) =>
      when === null ? [] : entryWarnings(document, ['grants', index, 'when'], when, issuers),
    ),
  ])
  const ofUsers = users.flatMap((document) =>
    document.users.flatMap(({ issuer, email }, index) => {
      const address = email === null ? null : addressDoubt(email)
      if (address !== null) return [warningAt(document, ['devin_users', index, 'email'], address)]
      const doubt = issuer === null ? null : issuerDoubt(issuer, issuers)
      return warningsAt(document, ['devin_users', index, 'issuer'], doubt)
    }),
  )
  return [...ofTeams, ...ofUsers, ...ofTests]
}

/** Values of `when` that no member has, where every entry of the members says which ones there are. */
function valuesOfNobody(document: TeamDocument): readonly Diagnostic[] {
  const { team, members, grants } = document
  return (['app', 'subject', 'email', 'issuer'] as const).flatMap((name) => {
    if (!members.every((entry) => entry[name] !== undefined)) return []
    const known = members.flatMap((entry) => entry[name] ?? [])
    return grants.flatMap(({ when }, grant) =>
      (when?.[name] ?? []).flatMap((value, index) =>
        known.includes(value)
          ? []
          : [
              warningAt(
                document,
                ['grants', grant, 'when', name, index],
                `no member of team ${team} has the ${name} ${quoted(value)}, so it never holds${didYouMean(value, known)}`,
              ),
            ],
      ),
    )
  })
}

/** Of one condition at its place. */
export function entryWarnings(
  document: Pick<TeamDocument, 'file' | 'positionOf'>,
  path: readonly (string | number)[],
  entry: ConditionDocument,
  issuers: readonly string[] | null,
): Diagnostic[] {
  const { claims = {}, ...attributes } = entry
  const named = [
    ...Object.entries(attributes).map(([name, values]) => [[name], name, values] as const),
    ...Object.entries(claims).map(([name, values]) => [['claims', name], `claim ${name}`, values] as const),
  ]
  return named.flatMap(([steps, name, values]) =>
    (Array.isArray(values) ? values : []).flatMap((value: unknown, index) => {
      if (typeof value !== 'string') return []
      const doubt =
        patternDoubt(value) ??
        (name === 'issuer' ? issuerDoubt(value, issuers) : name === 'email' ? addressDoubt(value) : null)
      return warningsAt(document, [...path, ...steps, index], doubt)
    }),
  )
}

const letterByLetter = 'is compared letter by letter with what the token says'

/** A star where a list of names would have one, not somewhere in a name. */
const wildcard = /^\*|\*$|[-_./:@]\*|\*[-_./:@]/

/** What a regular expression has, and a name has not. */
const expression = /^\^.*\$$|\[[^\]]+\][+*?{]|\.[+*]|\\[dwsb.]|\([^()]+\|[^()]+\)|^\/\^.*\/$/

function patternDoubt(value: string): string | null {
  if (value !== value.trim())
    return `${quoted(value)} ${letterByLetter}, and begins or ends with white space: remove it`
  if (wildcard.test(value))
    return `${quoted(value)} ${letterByLetter}, and "*" stands for itself: list the values one by one`
  if (expression.test(value))
    return `${quoted(value)} ${letterByLetter}, and is no regular expression: list the values one by one`
  return null
}

function addressDoubt(value: string): string | null {
  return value.includes('@')
    ? null
    : `${quoted(value)} ${letterByLetter}, and is no e-mail address: write all of it, like jane@corp.example`
}

function issuerDoubt(value: string, issuers: readonly string[] | null): string | null {
  if (issuers === null || issuers.includes(value)) return null
  const near = didYouMean(value, issuers)
  return `no issuer ${quoted(value)} is configured, so no caller has it${near === '' ? `: the issuers are ${issuers.join(', ')}` : near}`
}
