// The shadow set: a second whole set of policies that is loaded, watched and reloaded beside the one in force and never
// applied. Its secrets are not looked for, and what is wrong with it hurts nothing else.

import type { LoadedCatalogue } from '../../catalogue/load.ts'
import { formatDiagnostic, Refused } from '../../config/diagnostics.ts'
import type { Config } from '../../config/load.ts'
import type { Instruments } from '../../metrics/instruments.ts'
import { watchedPolicyFiles } from '../../policy/loading/folder.ts'
import type { UsablePolicies } from '../../policy/loading/load.ts'
import { PolicyInTime } from '../../policy/model/policy-in-time.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import type { Log } from '../../records/log.ts'
import { createPolicyLoader } from './loader.ts'
import { readInOneState, StillChanging, watchFiles, type FileWatcher, type ReadFiles } from '../file-watcher.ts'

export interface ShadowPoliciesOptions {
  readonly directory: string
  readonly config: Config
  readonly catalogue: LoadedCatalogue
  readonly instruments: Instruments
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

export type ShadowReload = 'replaced' | 'unchanged' | 'refused'

/** Reads the shadow set for the first time. Never rejects: a set that cannot be used is told of, and awaited. */
export async function openShadowPolicies(options: ShadowPoliciesOptions) {
  const { directory, config, instruments, log, now } = options
  let taken: { readonly loaded: UsablePolicies; readonly inTime: PolicyInTime; readonly atMs: number } | null = null
  let refusal: { readonly atMs: number; readonly diagnostics: readonly string[] } | null = null
  let watcher: FileWatcher<ShadowReload> | null = null
  let isClosed = false
  const sources = { env: {}, origin: config.upstream.origin }
  const loader = createPolicyLoader({ ...options, sources, secrets: 'unopened' })
  const watched = { files: () => watchedPolicyFiles(directory), found: new Set<string>(), read: loader.load }

  function take(outcome: ReadFiles<UsablePolicies>['outcome'], actor: string): ShadowReload {
    if (isClosed) return 'unchanged'
    if ('error' in outcome) return refuse(reasonsOf(outcome.error), actor)
    const loaded = outcome.value
    const { policy, digest, diagnostics } = loaded
    refusal = null
    instruments.shadowRefused(false)
    if (taken?.loaded.digest === digest) return 'unchanged'
    taken = { loaded, inTime: new PolicyInTime(policy, now, loader.prepare), atMs: now() }
    instruments.shadowLoaded({ revision: policy.revision, teams: policy.teams.map(({ id }) => id) })
    log.info(
      { event: 'shadow-policies-replaced', revision: policy.revision, actor, warnings: diagnostics.length },
      'a shadow set is decided beside the policies in force',
    )
    return 'replaced'
  }

  /** The shadow set before goes on being decided. */
  function refuse(diagnostics: readonly string[], actor: string): ShadowReload {
    refusal = { atMs: now(), diagnostics }
    instruments.shadowRefused(true)
    log.warn(
      { event: 'shadow-policies-refused', actor, diagnostics },
      'the shadow set was refused; the policies in force are not concerned',
    )
    return 'refused'
  }

  function reasonsOf(error: unknown): readonly string[] {
    if (error instanceof Refused)
      return error.diagnostics.filter(({ severity }) => severity === 'error').map(formatDiagnostic)
    if (error instanceof StillChanging)
      return [`${directory}: the files kept changing while they were read; reload again when they are written`]
    log.error({ event: 'defect', error }, "loading the shadow set failed for a reason of the gateway's own")
    return ['the shadow set could not be loaded']
  }

  const first = await readInOneState({ ...watched, read: loader.loadFirst })
  take(first.outcome, 'start')

  return {
    directory,
    /** The set as it is now; null while none could be loaded. */
    get current(): PolicySet | null {
      return taken?.inTime.current ?? null
    },
    get loadedAtMs(): number | null {
      return taken?.atMs ?? null
    },
    /** Why the latest set was refused; null while files and set agree. */
    get refusal() {
      return refusal
    },
    /** Reads the files again now. */
    reload: async (actor: string): Promise<ShadowReload> =>
      watcher === null ? take((await readInOneState(watched)).outcome, actor) : await watcher.reload(actor),
    watch(): void {
      watcher = watchFiles({ watched, signature: first.signature, take, isDeferred: () => false })
    },
    close(): void {
      isClosed = true
      loader.close()
      watcher?.close()
    },
  }
}
