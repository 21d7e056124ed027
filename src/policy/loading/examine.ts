// Everything about policy files that needs no secret: read, validated, compiled, tested. It takes as long as the files are large
// or wrong, so a running gateway does it in a thread.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import { hasErrors, Refused, type Diagnostic } from '../../config/diagnostics.ts'
import { compilePolicies, type PolicyDocuments } from '../compile/compile.ts'
import type { PolicyDocument, TestDocument } from '../documents/document.ts'
import { unknownWords } from '../documents/policy-words.ts'
import { brokenInvariants } from '../invariants/check.ts'
import { compileInvariants, type Invariant } from '../invariants/invariant.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { runSuites } from '../tools/suite.ts'
import { concurrencyWarnings } from '../warnings/concurrency.ts'
import { conditionWarnings } from '../warnings/conditions.ts'
import { endingWarnings } from '../warnings/endings.ts'
import { idleGuardrails } from '../warnings/idle-guardrails.ts'
import { idleLimits } from '../warnings/idle-limits.ts'
import { invariantNameWarnings } from '../warnings/invariant-names.ts'
import { misspelledNames } from '../warnings/misspelled-names.ts'
import { entriesOfAllIssuers } from '../warnings/open-issuers.ts'
import { reachWarnings } from '../warnings/reach.ts'
import { boundsOf, type Bounds } from './bounds.ts'
import { readPolicyDirectory, readPolicyTexts, type PolicyText } from './read-directory.ts'

export interface ExamineOptions {
  readonly directory: string
  /** In place of the files of the directory. */
  readonly files?: readonly PolicyText[]
  readonly catalogue: Catalogue
  /**
   * `ignored`: neither a failing policy test nor a broken invariant refuses the load. `reported`: a failing test is a warning.
   * Default: `required`.
   */
  readonly tests?: 'required' | 'reported' | 'ignored'
  /** Connections to the upstream, with which limits are compared; null, and by default, where that says nothing. */
  readonly connections?: number | null
  /** The issuers of the configuration, with which conditions are compared. */
  readonly issuers?: readonly string[]
  /** Milliseconds since the epoch: what has ended then is not in force, and what ends soon is warned about. */
  readonly nowMs: number
}

export interface ExaminedPolicies {
  /** Of the files, whole; the revision is its beginning. */
  readonly digest: string
  /** The policy files as they were read, by their path below the folder. They name secrets and hold none. */
  readonly files: readonly PolicyText[]
  /** What the set is compiled from. */
  readonly documents: PolicyDocuments
  /** Whatever the time; with an error among the diagnostics it must not be used. */
  readonly policy: PolicySet
  readonly diagnostics: readonly Diagnostic[]
  /** Policy tests that fail and invariants that are broken, if they refuse the set. */
  readonly failures: readonly Diagnostic[]
  /** Those that do not refuse it, because `tests` says so. */
  readonly tolerated: readonly Diagnostic[]
  readonly testsPassed: number
  readonly tests: readonly TestDocument[]
  readonly invariants: readonly Invariant[]
  /** What the files forbid, to be compared with the next set. */
  readonly bounds: Bounds
}

/** Reads and examines the whole directory. Throws `Refused` where a file cannot be read as what it is. */
export async function examinePolicies(options: ExamineOptions): Promise<ExaminedPolicies> {
  const { directory, catalogue, connections = null, nowMs } = options
  const read =
    options.files === undefined ? await readPolicyDirectory(directory) : readPolicyTexts(directory, options.files)
  const all = sorted(read.documents)
  const { teams, keys, tests, limits, guardrails, devinUsers, invariants: rules } = all
  const documents = { revision: read.digest.slice(0, 12), teams, keys, limits, guardrails, devinUsers }
  const { policy, diagnostics: ofSet } = compilePolicies(documents, catalogue)
  const { invariants, diagnostics: ofInvariants } = compileInvariants(rules, policy)
  if (hasErrors(read.diagnostics)) {
    // With a broken file warnings would only be about its missing content.
    const errors = ofSet.filter(({ severity }) => severity === 'error')
    throw new Refused([...read.diagnostics, ...errors, ...unknownWords(read.words, catalogue)])
  }
  const found: readonly Diagnostic[] = [
    ...read.diagnostics,
    ...ofSet,
    ...ofInvariants,
    ...conditionWarnings(teams, devinUsers, options.issuers ?? null, tests),
    ...invariantNameWarnings(rules, policy, options.issuers ?? null),
    ...misspelledNames(policy, all),
    ...entriesOfAllIssuers(teams, options.issuers ?? []),
    ...idleLimits(policy, teams, limits),
    ...idleGuardrails(policy, guardrails, teams),
    ...reachWarnings(policy, teams, keys),
    ...endingWarnings(teams, guardrails, nowMs),
    ...(connections === null ? [] : concurrencyWarnings(teams, limits, connections)),
  ]
  const isBroken = hasErrors(found)
  const now = policy.at(nowMs)
  const suite = isBroken ? { passed: 0, failures: [] } : runSuites(now, tests)
  const broken = isBroken ? [] : brokenInvariants(now, invariants)
  const isReported = options.tests === 'reported'
  const reported = isReported ? suite.failures.map((each) => ({ ...each, severity: 'warning' as const })) : []
  const failures = [...(isReported ? [] : suite.failures), ...broken]
  return {
    digest: read.digest,
    files: read.files,
    documents,
    policy,
    diagnostics: [...found, ...reported],
    failures: options.tests === 'ignored' ? [] : failures,
    tolerated: isReported ? suite.failures : options.tests === 'ignored' ? failures : [],
    testsPassed: suite.passed,
    tests,
    invariants,
    bounds: boundsOf(read.documents),
  }
}

/** The documents by their kinds. */
function sorted(documents: readonly PolicyDocument[]) {
  const of = <Kind extends PolicyDocument['kind']>(kind: Kind) =>
    documents.filter((document): document is Extract<PolicyDocument, { kind: Kind }> => document.kind === kind)
  return {
    teams: of('team'),
    keys: of('keys').flatMap(({ keys }) => keys),
    tests: of('tests'),
    limits: of('limits'),
    guardrails: of('guardrails'),
    devinUsers: of('devin-users'),
    invariants: of('invariants'),
  }
}
