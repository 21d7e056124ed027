// The policies in force: one snapshot behind one pointer, replaced whole or not at all, watched and on demand.

import { formatDiagnostic, Refused } from './config/diagnostics.ts'
import type { Keyring } from './keys/keyring.ts'
import type { Instruments } from './metrics/instruments.ts'
import { listPolicyFiles, type LoadedPolicies } from './policy/load.ts'
import type { PolicySet } from './policy/policy-set.ts'
import type { Log } from './records/log.ts'
import type { Sinks } from './records/sinks.ts'
import { createReloader, type ReloadResult } from './reload.ts'

export interface Refusal {
  readonly atMs: number
  /** As `file:line:column: message`. */
  readonly diagnostics: readonly string[]
}

export interface HotPolicies {
  /** The snapshot for a request that begins now. */
  readonly current: PolicySet
  readonly loadedAtMs: number
  /** Why the latest changed set was refused; null while the files and the snapshot agree. */
  readonly refusal: Refusal | null
  /** Reads the files again now. */
  reload(actor: string): Promise<ReloadResult>
  /** Begins to watch the policy files and the files of secrets. */
  watch(): Promise<void>
  close(): void
}

export interface HotPoliciesOptions {
  readonly directory: string
  /** Every secret file that was asked for so far; watched together with the policies. */
  readonly secretFiles: ReadonlySet<string>
  /** Validates, compiles and tests the files. Rejects with `Refused`. */
  readonly load: () => Promise<LoadedPolicies>
  readonly keyring: Keyring
  readonly sinks: Pick<Sinks, 'audit' | 'auditHealthy'>
  readonly instruments: Instruments
  readonly log: Log
  readonly now: () => number
}

const watchEveryMs = 1000
const unrecorded = ['the audit log cannot be written, and a change that is not recorded is not made']

/** Puts the first set, already loaded, in force. */
export function createHotPolicies(first: LoadedPolicies, options: HotPoliciesOptions): HotPolicies {
  const { keyring, sinks, instruments, log, now } = options
  let current = first.policy
  let digest = first.digest
  let loadedAtMs = now()
  let refusal: Refusal | null = null
  let reloader: Awaited<ReturnType<typeof createReloader>> | null = null
  enforce(first)

  function enforce(loaded: LoadedPolicies): void {
    const { policy, secrets, diagnostics } = loaded
    keyring.adopt(policy.keys, secrets)
    current = policy
    digest = loaded.digest
    loadedAtMs = now()
    refusal = null
    instruments.policyLoaded({
      revision: policy.revision,
      atMs: loadedAtMs,
      teams: policy.teams.map((team) => team.id),
      keys: policy.keys.map((handle) => handle.id),
    })
    for (const diagnostic of diagnostics) log.warn({ event: 'policy-warning' }, formatDiagnostic(diagnostic))
  }

  async function replace(actor: string): Promise<ReloadResult> {
    if (!sinks.auditHealthy()) return refuse(actor, unrecorded)
    try {
      const next = await options.load()
      if (next.digest === digest && sameSecrets(next)) {
        refusal = null
        instruments.policyReload('unchanged')
        log.info({ event: 'policies-unchanged', revision: current.revision, actor }, 'the policies are what they were')
        return 'unchanged'
      }
      const { policy, testsPassed } = next
      const recorded = sinks.audit('policies-replaced', actor, {
        from: current.revision,
        to: policy.revision,
        teams: policy.teams.length,
        keys: policy.keys.length,
        tests_passed: testsPassed,
      })
      if (!recorded) return refuse(actor, unrecorded)
      enforce(next)
      instruments.policyReload('replaced')
      log.info({ event: 'policies-replaced', revision: policy.revision, actor }, 'policies replaced')
      return 'replaced'
    } catch (error) {
      if (!(error instanceof Refused))
        log.error({ event: 'defect', error }, "loading the policies failed for a reason of the gateway's own")
      return refuse(
        actor,
        error instanceof Refused ? error.diagnostics.map(formatDiagnostic) : ['the policies could not be loaded'],
      )
    }
  }

  function sameSecrets(next: LoadedPolicies): boolean {
    return next.policy.keys.every((handle) => {
      const secret = next.secrets.get(handle.id)
      return secret !== undefined && keyring.holds(handle, secret)
    })
  }

  function refuse(actor: string, diagnostics: readonly string[]): ReloadResult {
    refusal = { atMs: now(), diagnostics }
    instruments.policyReload('refused')
    log.error(
      { event: 'policies-refused', actor, diagnostics, revision: current.revision },
      'the changed policies were refused; the ones before stay in force',
    )
    sinks.audit('policies-refused', actor, { kept: current.revision, diagnostics })
    return diagnostics === unrecorded ? 'deferred' : 'refused'
  }

  async function files(): Promise<readonly string[]> {
    const policies = (await listPolicyFiles(options.directory)) ?? [options.directory]
    return [...policies, ...options.secretFiles]
  }

  return {
    get current() {
      return current
    },
    get loadedAtMs() {
      return loadedAtMs
    },
    get refusal() {
      return refusal
    },
    reload: (actor) => (reloader === null ? replace(actor) : reloader.reload(actor)),
    async watch() {
      reloader = await createReloader({ files, load: replace, everyMs: watchEveryMs })
    },
    close: () => reloader?.close(),
  }
}
