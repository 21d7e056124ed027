// Callers and organizations of invariants that are spelled nearly as the policies spell them: such a rule would be about nobody.
// Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { didYouMean } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import type { InvariantsDocument } from '../documents/invariant-document.ts'
import type { Condition, ConditionDocument } from '../model/condition.ts'
import { namedOrganizations } from '../model/named-organizations.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { entryWarnings } from './conditions.ts'
import { warningsAt } from './coverage.ts'

const attributes = ['groups', 'app', 'subject', 'email', 'actor'] as const

/** `issuers`: those of the configuration; null where they are not known. */
export function invariantNameWarnings(
  documents: readonly InvariantsDocument[],
  policy: PolicySet,
  issuers: readonly string[] | null,
): readonly Diagnostic[] {
  const conditions = policy.teams.flatMap(({ members, grants }) => [
    ...members,
    ...grants.flatMap(({ when }) => (when === null ? [] : [when])),
  ])
  const knownOf = new Map<string, ReadonlySet<string>>()
  const apps = policy.teams.flatMap(({ limitedApps }) => [...limitedApps])
  const claims = new Set(policy.claimPaths)
  const organizations = new Set(namedOrganizations(policy))
  return documents.flatMap((document) =>
    document.invariants.flatMap(({ kind, about }, index) => {
      const path = ['invariants', index, kind]
      const { except = null, ...callers } = about.callers ?? {}
      const selections = [
        { condition: callers, at: [...path, 'callers'] },
        { condition: except ?? {}, at: [...path, 'callers', 'except'] },
      ]
      const ofCallers = selections.flatMap(({ condition, at }) => [
        ...Object.keys(condition.claims ?? {}).flatMap((claim) =>
          doubt(document, [...at, 'claims', claim], 'claim', claim, claims),
        ),
        ...entryWarnings(document, at, condition, issuers),
        ...valuesOf(condition).flatMap(({ steps, what, value, read }) => {
          const known =
            knownOf.get(what) ??
            new Set([...conditions.flatMap((each) => [...(read(each) ?? [])]), ...(what === 'app' ? apps : [])])
          knownOf.set(what, known)
          return doubt(document, [...at, ...steps], what, value, known)
        }),
      ])
      const written = about.organizations
      const [ids, steps] =
        written === null || typeof written === 'string'
          ? [[], []]
          : 'except' in written
            ? [written.except, ['except']]
            : [written, []]
      const ofOrganizations = ids.flatMap((id, at) =>
        doubt(document, [...path, 'organizations', ...steps, at], 'organization', id, organizations),
      )
      return [...ofCallers, ...ofOrganizations]
    }),
  )
}

interface WrittenValue {
  readonly steps: readonly (string | number)[]
  readonly what: string
  readonly value: string
  /** The values of the same attribute in another condition. */
  readonly read: (condition: Condition) => ReadonlySet<string> | null
}

function valuesOf({ claims = {}, ...written }: ConditionDocument): readonly WrittenValue[] {
  return [
    ...attributes.flatMap((name) =>
      (written[name] ?? []).map((value, index): WrittenValue => {
        const what = name === 'groups' ? 'group' : name
        return { steps: [name, index], what, value, read: (condition) => condition[name] }
      }),
    ),
    ...Object.entries(claims).flatMap(([path, values]) =>
      values.map((value, index): WrittenValue => {
        const read: WrittenValue['read'] = (condition) => condition.claims.get(path) ?? null
        return { steps: ['claims', path, index], what: `value of claim ${path}`, value, read }
      }),
    ),
  ]
}

function doubt(
  document: InvariantsDocument,
  path: readonly (string | number)[],
  what: string,
  value: string,
  known: ReadonlySet<string>,
): readonly Diagnostic[] {
  const near = known.has(value) ? '' : didYouMean(value, known)
  return warningsAt(document, path, near === '' ? null : `no team and no key names ${what} ${quoted(value)}${near}`)
}
