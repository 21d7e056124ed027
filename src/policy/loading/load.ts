// A policy directory → one policy set with the secrets of its keys, or a refusal with every diagnostic.

import { hasErrors, readableDiagnostics, Refused, type Diagnostic } from '../../config/diagnostics.ts'
import type { Position } from '../../config/yaml/document.ts'
import type { Config } from '../../config/load.ts'
import { expiryWarning } from '../../keys/expiry.ts'
import { resolveSecrets, type KeyRemark, type ResolvedSecrets, type SecretSources } from '../../keys/reading.ts'
import type { KeyDocument, TestDocument } from '../documents/document.ts'
import type { Invariant } from '../invariants/invariant.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { examinePolicies, type ExaminedPolicies, type ExamineOptions } from './examine.ts'

/** What is known of policies that can be put in force. */
export interface UsablePolicies extends Pick<ExaminedPolicies, 'digest' | 'files' | 'bounds' | 'testsPassed'> {
  /** As it is at the time of loading. */
  readonly policy: PolicySet
  readonly secrets: ResolvedSecrets
  /** Warnings only: with an error the load is refused. */
  readonly diagnostics: readonly Diagnostic[]
  readonly invariants: readonly Pick<Invariant, 'id' | 'kind' | 'source'>[]
}

export interface LoadedPolicies extends UsablePolicies {
  /** Keys whose value is kept by a program or a server, which nobody has asked. */
  readonly unasked: readonly string[]
  /** Those that only say that nothing is where a key's value should be. */
  readonly absentValues: readonly Diagnostic[]
  /** Failed tests and broken invariants that did not refuse the load, because `tests` said so. */
  readonly tolerated: readonly Diagnostic[]
  readonly tests: readonly TestDocument[]
  readonly invariants: readonly Invariant[]
}

export interface LoadOptions extends Omit<ExamineOptions, 'nowMs'>, SecretOptions {}

export interface SecretOptions {
  readonly sources: SecretSources
  /**
   * `required`: a secret that cannot be resolved refuses the load, unless its source may answer later. `reported`: it is a warning
   * (`check` in CI has no secrets).
   * `unopened`: no secret is looked for.
   */
  readonly secrets: 'required' | 'reported' | 'unopened'
  /** Milliseconds since the epoch. Default: `Date.now`. */
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

/** Reads, validates, compiles and tests the whole directory at once. Throws `Refused`. */
export async function loadPolicies(options: LoadOptions): Promise<LoadedPolicies> {
  const nowMs = (options.now ?? Date.now)()
  const examined = await examinePolicies({ ...options, nowMs })
  const { digest, files, bounds, documents, tests, testsPassed, tolerated, invariants } = examined
  const opened = await openSecrets({ ...examined, keys: documents.keys }, options)
  const policy = examined.policy.at(nowMs)
  return { ...opened, policy, digest, files, bounds, tests, testsPassed, tolerated, invariants }
}

/** What secrets are opened for. */
interface Examined extends Pick<ExaminedPolicies, 'policy' | 'diagnostics' | 'failures'> {
  readonly keys: readonly Pick<KeyDocument, 'id' | 'secretPlace'>[]
}

/** Resolves the secrets of an examined set. Throws `Refused` with what is wrong with either. */
export async function openSecrets(
  { policy, diagnostics, failures, keys }: Examined,
  options: SecretOptions,
): Promise<Pick<LoadedPolicies, 'secrets' | 'unasked' | 'absentValues' | 'diagnostics'>> {
  const nowMs = (options.now ?? Date.now)()
  const resolved = await resolveSecrets(options.secrets === 'unopened' ? [] : policy.keys, options.sources)
  const places = new Map<string, Position>(keys.map(({ id, secretPlace }) => [id, secretPlace]))
  const about = ({ handle, message }: KeyRemark, severity: Diagnostic['severity']): Diagnostic => {
    const { file, line } = handle.source
    return { file, ...(places.get(handle.id) ?? { line, column: 1 }), severity, message }
  }
  const severity = options.secrets === 'required' ? 'error' : 'warning'
  const unresolved = resolved.unresolved.map((remark) => ({ remark, diagnostic: about(remark, severity) }))
  const ofExpiry = policy.keys.flatMap((handle): Diagnostic[] => {
    const message = expiryWarning(handle, nowMs)
    return message === null ? [] : [{ ...handle.source, column: 1, severity: 'warning', message }]
  })
  const found = [
    ...diagnostics,
    ...unresolved.map(({ diagnostic }) => diagnostic),
    ...resolved.warnings.map((remark) => about(remark, 'warning')),
    ...ofExpiry,
    ...failures,
  ]
  const absentValues = unresolved.flatMap(({ remark, diagnostic }) => (remark.isAbsent === true ? [diagnostic] : []))
  if (hasErrors(found)) {
    // Where only the files are checked no key has a value: many such lines would hide what refuses the set.
    const isCrowded = severity === 'warning' && absentValues.length > mostAbsentValues
    const absent = new Set(isCrowded ? absentValues : [])
    throw new Refused(found.filter((each) => !absent.has(each)))
  }
  return {
    secrets: { values: resolved.values, away: resolved.away },
    unasked: resolved.unasked.map(({ id }) => id),
    diagnostics: readableDiagnostics(found),
    absentValues,
  }
}
