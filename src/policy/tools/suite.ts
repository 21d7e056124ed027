// Policy tests: expected decisions in YAML, run by `check`, by `test` and before every swap. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { claimAt } from '../../identity/claim-path.ts'
import { emptyPrincipal, type Principal } from '../../identity/principal.ts'
import type { TestCaseDocument, TestDocument, TestPrincipalDocument } from '../documents/document.ts'
import { explain, explainFully, type ExplainedRequest } from './explain.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import { checkedBodyOf } from '../decision/checked-body.ts'
import { entryWithUnsaid } from '../decision/near-entries.ts'
import type { Condition } from '../model/condition.ts'
import type { Explanation } from './explanation.ts'
import type { PolicySet } from '../model/policy-set.ts'

export interface SuiteResult {
  readonly passed: number
  /** One error a case that went otherwise, at the line of the case. */
  readonly failures: readonly Diagnostic[]
}

/** Runs every case of every document against a policy set. */
export function runSuites(policy: PolicySet, documents: readonly TestDocument[]): SuiteResult {
  const failures: Diagnostic[] = []
  let passed = 0
  for (const document of documents) {
    for (const [block, { as, at, cases }] of document.blocks.entries()) {
      const then = at === undefined ? policy : policy.at(at)
      for (const [index, expected] of cases.entries()) {
        const differences = differencesOf(then, as, expected)
        if (differences.length === 0) passed += 1
        else {
          const place = document.positionOf([block, 'cases', index])
          failures.push({
            file: document.file,
            ...place,
            severity: 'error',
            message: `test failed: ${expected.do}: ${differences.join('; ')}`,
          })
        }
      }
    }
  }
  return { passed, failures }
}

/** How every case of the documents is decided; cases whose path names no operation are left out. */
export function evaluationsOf(policy: PolicySet, documents: readonly TestDocument[]): readonly Evaluation[] {
  return documents
    .flatMap(({ blocks }) => blocks)
    .flatMap(({ as, at, cases }) => {
      const then = at === undefined ? policy : policy.at(at)
      return cases.flatMap((each) => explainFully(then, principalFrom(as), requestOf(as, each)).evaluation ?? [])
    })
}

/** A principal with just the attributes a test or a command names. */
export function principalFrom(as: TestPrincipalDocument): Principal {
  return {
    ...emptyPrincipal,
    subject: as.subject ?? 'policy-test',
    issuer: as.issuer ?? 'policy-test',
    email: as.email ?? null,
    emailVerified: true,
    groups: as.groups ?? [],
    app: as.app ?? null,
    actor: as.actor ?? null,
    claims: as.claims ?? {},
  }
}

function requestOf(
  { devin_user_id: id }: TestPrincipalDocument,
  { do: asked, body }: TestCaseDocument,
): ExplainedRequest {
  const space = asked.indexOf(' ')
  return {
    method: asked.slice(0, space),
    target: asked.slice(space + 1).trim(),
    body: body === undefined ? null : checkedBodyOf(body),
    devinUser: id === undefined ? undefined : { id },
  }
}

function differencesOf(policy: PolicySet, as: TestPrincipalDocument, expected: TestCaseDocument): readonly string[] {
  const found = explain(policy, principalFrom(as), requestOf(as, expected))
  const differences = differencesFrom(found, expected)
  if (differences.length === 0 || found.effect === 'allow') return differences
  // What was not said comes first: in a test it is the likelier mistake.
  const near = [entryWithUnsaid(policy.teams, principalFrom(as), (attribute) => isSaid(as, attribute)), found.nearest]
  const said = differences.join(' ')
  return [...differences, ...near.flatMap((each) => (each === null || said.includes(each) ? [] : [`nearest: ${each}`]))]
}

/** Whether a test says anything about what an attribute of an entry asks for. */
function isSaid(as: TestPrincipalDocument, attribute: Condition): boolean {
  if (attribute.delegated !== null) return as.actor !== undefined
  const names = ['groups', 'app', 'subject', 'email', 'issuer', 'actor'] as const
  return (
    names.some((name) => attribute[name] !== null && as[name] !== undefined) ||
    [...attribute.claims.keys()].some((path) => claimAt(as.claims ?? {}, path) !== undefined)
  )
}

function differencesFrom(found: Explanation, expected: TestCaseDocument): readonly string[] {
  if (found.effect !== expected.expect)
    return [
      `expected ${expected.expect}, got ${found.effect} (${found.reason}${found.detail === null ? '' : `: ${found.detail}`})`,
    ]
  const warned = found.warn.flatMap(({ grant, guardrail, effect }) =>
    effect === 'deny' ? (grant ?? guardrail ?? []) : [],
  )
  if (expected.warn !== undefined && !warned.includes(expected.warn))
    return [`expected a warning of ${expected.warn}, got ${warned.length === 0 ? 'none' : warned.join(', ')}`]
  for (const name of ['reason', 'grant', 'key', 'team', 'owner'] as const) {
    const want = expected[name]
    if (want !== undefined && found[name] !== want) return [`expected ${name} ${want}, got ${found[name] ?? 'none'}`]
  }
  return []
}
