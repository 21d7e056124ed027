// A policy directory → one policy set with the secrets of its keys, or a refusal with every diagnostic.

import { createHash } from 'node:crypto'
import { join, relative, resolve } from 'node:path'
import type { Catalogue } from '../../catalogue/catalogue.ts'
import { policyFolderProblem } from '../../config/checks.ts'
import { fileProblem, hasErrors, Refused, type Diagnostic } from '../../config/diagnostics.ts'
import type { Config } from '../../config/load.ts'
import { endingWarnings } from '../warnings/endings.ts'
import { expiryWarning } from '../../keys/expiry.ts'
import { resolveSecrets, type KeyRemark, type ResolvedSecrets, type SecretSources } from '../../keys/reading.ts'
import { boundsOf, type Bounds } from './bounds.ts'
import { compilePolicies } from '../compile/compile.ts'
import { concurrencyWarnings } from '../warnings/concurrency.ts'
import { conditionWarnings } from '../warnings/conditions.ts'
import { invariantNameWarnings } from '../warnings/invariant-names.ts'
import { misspelledNames } from '../warnings/misspelled-names.ts'
import { entriesOfAllIssuers } from '../warnings/open-issuers.ts'
import { idleGuardrails } from '../warnings/idle-guardrails.ts'
import { idleLimits } from '../warnings/idle-limits.ts'
import { reachWarnings } from '../warnings/reach.ts'
import { readPolicyFile, type PolicyDocument, type PolicyFileKind, type TestDocument } from '../documents/document.ts'
import { listPolicyFolder, readPolicyText, strayFile } from './folder.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { unknownWords, type PolicyWord } from '../documents/policy-words.ts'
import { brokenInvariants } from '../invariants/check.ts'
import { compileInvariants, type Invariant } from '../invariants/invariant.ts'
import { runSuites } from '../tools/suite.ts'

export interface LoadedPolicies {
  /** As it is at the time of loading. */
  readonly policy: PolicySet
  /** Of the files, whole; the revision is its beginning. */
  readonly digest: string
  /** The policy files as they were read, by their path below the folder. They name secrets and hold none. */
  readonly files: readonly PolicyText[]
  readonly secrets: ResolvedSecrets
  /** Keys whose value is kept by a program or a server, which nobody has asked. */
  readonly unasked: readonly string[]
  /** Warnings only: with an error the load is refused. */
  readonly diagnostics: readonly Diagnostic[]
  /** Those that only say that nothing is where a key's value should be. */
  readonly absentValues: readonly Diagnostic[]
  /** Failed tests and broken invariants that did not refuse the load, because `tests` said so. */
  readonly tolerated: readonly Diagnostic[]
  readonly testsPassed: number
  readonly tests: readonly TestDocument[]
  readonly invariants: readonly Invariant[]
  /** What the files forbid, to be compared with the next set. */
  readonly bounds: Bounds
}

/** A policy file as it was read. */
export interface PolicyText {
  readonly name: string
  readonly text: string
}

export interface LoadOptions {
  readonly directory: string
  /** In place of the files of the directory. */
  readonly files?: readonly PolicyText[]
  readonly catalogue: Catalogue
  readonly sources: SecretSources
  /**
   * `required`: a secret that cannot be resolved refuses the load, unless its source may answer later. `reported`: it is a warning
   * (`check` in CI has no secrets).
   * `unopened`: no secret is looked for.
   */
  readonly secrets: 'required' | 'reported' | 'unopened'
  /**
   * `ignored`: neither a failing policy test nor a broken invariant refuses the load. `reported`: a failing test is a warning.
   * Default: `required`.
   */
  readonly tests?: 'required' | 'reported' | 'ignored'
  /** Connections to the upstream, with which limits are compared; null, and by default, where that says nothing. */
  readonly connections?: number | null
  /** The issuers of the configuration, with which conditions are compared. */
  readonly issuers?: readonly string[]
  /** Milliseconds since the epoch: what has ended then is not in force, and what ends soon is warned about. Default: `Date.now`. */
  readonly now?: () => number
}

/** Most keys without a value that have a line each. */
export const mostAbsentValues = 3

/** What of a configuration policies are compared with. Where instances share limits, others have connections of their own. */
export function comparedWith({ store, upstream, issuers }: Pick<Config, 'store' | 'upstream' | 'issuers'>) {
  return {
    connections: store === null ? upstream.connections : null,
    issuers: issuers.map(({ issuer }) => issuer),
  }
}

/** Loads the shadow set of a configuration, without its secrets. Throws `Refused`. */
export async function loadShadowPolicies(
  directory: string,
  config: Config,
  options: Pick<LoadOptions, 'catalogue' | 'now'>,
): Promise<LoadedPolicies> {
  const sources = { env: {}, origin: config.upstream.origin }
  return await loadPolicies({ ...options, ...comparedWith(config), directory, sources, secrets: 'unopened' })
}

/** Reads, validates, compiles and tests the whole directory. Throws `Refused`. */
export async function loadPolicies(options: LoadOptions): Promise<LoadedPolicies> {
  const { directory, catalogue, connections = null, now = Date.now } = options
  const nowMs = now()
  const { documents, files, words, digest, diagnostics } = await (options.files === undefined
    ? readPolicyDirectory(directory)
    : readPolicyTexts(directory, options.files))
  const ofKind = <Kind extends PolicyFileKind>(kind: Kind) => documentsOf(documents, kind)
  const [teams, limits, guardrails] = [ofKind('team'), ofKind('limits'), ofKind('guardrails')]
  const [devinUsers, rules, tests] = [ofKind('devin-users'), ofKind('invariants'), ofKind('tests')]
  const keys = ofKind('keys').flatMap((document) => document.keys)
  const compiled = compilePolicies(
    { revision: digest.slice(0, 12), teams, keys, limits, guardrails, devinUsers },
    catalogue,
  )
  const { invariants, diagnostics: ofInvariants } = compileInvariants(rules, compiled.policy)
  if (hasErrors(diagnostics)) {
    // With a broken file warnings would only be about its missing content.
    const errors = compiled.diagnostics.filter(({ severity }) => severity === 'error')
    throw new Refused([...diagnostics, ...errors, ...unknownWords(words, catalogue)])
  }
  const found: Diagnostic[] = [...diagnostics, ...compiled.diagnostics, ...ofInvariants]
  const resolved = await resolveSecrets(options.secrets === 'unopened' ? [] : compiled.policy.keys, options.sources)
  const about = ({ handle, message }: KeyRemark, severity: Diagnostic['severity']): Diagnostic => {
    const document = keys.find(({ id }) => id === handle.id)
    const position = document?.positionOf(['secret']) ?? { line: handle.source.line, column: 1 }
    return { file: handle.source.file, ...position, severity, message }
  }
  const severity = options.secrets === 'required' ? 'error' : 'warning'
  const unresolved = resolved.unresolved.map((remark) => ({ remark, diagnostic: about(remark, severity) }))
  found.push(...unresolved.map(({ diagnostic }) => diagnostic))
  found.push(...resolved.warnings.map((remark) => about(remark, 'warning')))
  for (const handle of compiled.policy.keys) {
    const message = expiryWarning(handle, nowMs)
    if (message !== null) found.push({ ...handle.source, column: 1, severity: 'warning', message })
  }
  found.push(
    ...conditionWarnings(teams, devinUsers, options.issuers ?? null, tests),
    ...invariantNameWarnings(rules, compiled.policy, options.issuers ?? null),
    ...misspelledNames(compiled.policy, { teams, keys, limits, guardrails, tests }),
    ...entriesOfAllIssuers(teams, options.issuers ?? []),
    ...idleLimits(compiled.policy, teams, limits),
    ...idleGuardrails(compiled.policy, guardrails, teams),
    ...reachWarnings(compiled.policy, teams, keys),
    ...endingWarnings(teams, guardrails, nowMs),
  )
  if (connections !== null) found.push(...concurrencyWarnings(teams, limits, connections))
  const absentValues = unresolved.flatMap(({ remark, diagnostic }) => (remark.isAbsent === true ? [diagnostic] : []))
  // Where only the files are checked no key has a value: many such lines would hide what refuses the set.
  const isCrowded = severity === 'warning' && absentValues.length > mostAbsentValues
  const toldOf = (all: readonly Diagnostic[]): readonly Diagnostic[] =>
    isCrowded ? all.filter((each) => !absentValues.includes(each)) : all
  if (hasErrors(found)) throw new Refused(toldOf(found))
  const policy = compiled.policy.at(nowMs)
  const suite = runSuites(policy, tests)
  const isReported = options.tests === 'reported'
  if (isReported) found.push(...suite.failures.map((each) => ({ ...each, severity: 'warning' as const })))
  const failures = [...(isReported ? [] : suite.failures), ...brokenInvariants(policy, invariants)]
  if (failures.length > 0 && options.tests !== 'ignored') throw new Refused(toldOf([...found, ...failures]))
  return {
    policy,
    digest,
    files,
    secrets: { values: resolved.values, away: resolved.away },
    unasked: resolved.unasked.map(({ id }) => id),
    diagnostics: found,
    absentValues,
    tolerated: isReported ? suite.failures : failures,
    testsPassed: suite.passed,
    tests,
    invariants,
    bounds: boundsOf(documents),
  }
}

interface PolicyDirectory {
  readonly files: readonly PolicyText[]
  readonly documents: readonly PolicyDocument[]
  /** Of the files that are none of the documents. */
  readonly words: readonly PolicyWord[]
  readonly digest: string
  readonly diagnostics: readonly Diagnostic[]
}

/** Reads every policy file below a directory. The revision is a digest of names and contents, equal on every instance. */
export async function readPolicyDirectory(directory: string): Promise<PolicyDirectory> {
  const folder = await listPolicyFolder(directory)
  if (folder === null) {
    const problem = (await policyFolderProblem(directory)) ?? 'the policy directory cannot be read'
    return { files: [], documents: [], words: [], digest: '', diagnostics: [fileProblem(directory, problem)] }
  }
  const problems: Diagnostic[] = [...folder.diagnostics]
  const texts: PolicyText[] = []
  for (const file of folder.files) {
    const content = await readPolicyText(file)
    if ('problem' in content) problems.push(fileProblem(file, content.problem))
    else texts.push({ name: relative(directory, file), text: content.text })
  }
  const read = readPolicyTexts(directory, texts)
  const { documents } = read
  const diagnostics = [...problems, ...read.diagnostics]
  const secretFiles = secretFilesOf(documents)
  diagnostics.push(...folder.others.filter((file) => !secretFiles.has(resolve(file))).map(strayFile))
  if (!documents.some((document) => document.kind === 'team') && !hasErrors(diagnostics)) {
    diagnostics.push(
      fileProblem(directory, 'there is no team file here, so nobody could call anything: add teams/<name>.yaml'),
    )
  }
  return { ...read, diagnostics }
}

/** Reads policy files whose texts are known. */
function readPolicyTexts(directory: string, files: readonly PolicyText[]): PolicyDirectory {
  const diagnostics: Diagnostic[] = []
  const documents: PolicyDocument[] = []
  const words: PolicyWord[] = []
  const digest = createHash('sha256')
  for (const { name, text } of files) {
    digest.update(`${name}\0${text.length}\0${text}`)
    const read = readPolicyFile({ file: join(directory, name), name, text })
    diagnostics.push(...read.diagnostics)
    if (read.document !== null) documents.push(read.document)
    words.push(...(read.words ?? []))
  }
  return { files, documents, words, digest: digest.digest('hex'), diagnostics }
}

/** The documents of one kind. */
function documentsOf<Kind extends PolicyFileKind>(documents: readonly PolicyDocument[], kind: Kind) {
  return documents.filter((each): each is Extract<PolicyDocument, { kind: Kind }> => each.kind === kind)
}

/** Secret files may lie beside the inventory that names them. */
function secretFilesOf(documents: readonly PolicyDocument[]): ReadonlySet<string> {
  const keys = documentsOf(documents, 'keys').flatMap((document) => document.keys)
  return new Set(keys.flatMap(({ secret }) => ('file' in secret ? [resolve(secret.file)] : [])))
}
