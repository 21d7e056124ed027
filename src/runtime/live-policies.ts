// The policies in force: one snapshot behind one pointer, replaced whole or not at all, when files change and on demand.

import { fileProblem, formatDiagnostic, Refused } from '../config/diagnostics.ts'
import { counted } from '../config/plural.ts'
import type { Keyring } from '../keys/keyring.ts'
import type { Instruments } from '../metrics/instruments.ts'
import { warnRulesOf } from '../policy/decision/warnings.ts'
import { vanishedBounds } from '../policy/loading/bounds.ts'
import type { UsablePolicies } from '../policy/loading/load.ts'
import type { PolicyText } from '../policy/loading/read-directory.ts'
import { PolicyInTime } from '../policy/model/policy-in-time.ts'
import type { PolicySet } from '../policy/model/policy-set.ts'
import { inTurns } from '../policy/model/steps.ts'
import type { Log } from '../records/log.ts'
import type { Sinks } from '../records/sinks.ts'
import {
  readInOneState,
  StillChanging,
  watchFiles,
  type FileWatcher,
  type ReadFiles,
  type WatchedFiles,
} from './file-watcher.ts'
import type { PolicyLoader } from './policies/loader.ts'

/**
 * The result of a reload. `held`: bounds have vanished, and only a reload on demand takes such a set. `deferred`:
 * refused for a passing reason that has nothing to do with the files.
 */
export type ReloadResult = 'replaced' | 'unchanged' | 'refused' | 'held' | 'deferred'

/** Why the files and the set in force differ. */
export interface RefusedChange {
  readonly atMs: number
  readonly result: 'refused' | 'held' | 'deferred'
  /** As `file:line:column: message`. */
  readonly diagnostics: readonly string[]
}

/** What came of reading the files. */
export interface PolicyReload {
  readonly atMs: number
  readonly result: ReloadResult | 'loaded'
  readonly actor: string
  /** In force after it. */
  readonly revision: string
  readonly diagnostics: readonly string[]
}

/** The set that the one in force has replaced. */
export interface ReplacedPolicies {
  readonly revision: string
  readonly files: readonly PolicyText[]
}

export interface LivePoliciesOptions {
  readonly directory: string
  /** Policy files, and the files of secrets that loading has named. `read` rejects with `Refused`. */
  readonly watched: WatchedFiles<UsablePolicies>
  readonly loader: Pick<PolicyLoader, 'prepare' | 'close'>
  readonly keyring: Keyring
  readonly sinks: Pick<Sinks, 'audit' | 'auditHealthy'>
  readonly instruments: Instruments
  readonly log: Log
  readonly now: () => number
}

/** The first set. Throws `Refused` with every diagnostic. */
export async function loadFirstPolicies({
  directory,
  watched,
}: Pick<LivePoliciesOptions, 'directory' | 'watched'>): Promise<{ loaded: UsablePolicies; signature: string }> {
  const { outcome, signature } = await readInOneState(watched)
  if ('value' in outcome) return { loaded: outcome.value, signature }
  if (!(outcome.error instanceof StillChanging)) throw outcome.error
  throw new Refused([fileProblem(directory, stillChanging)])
}

const unrecorded = 'the audit log cannot be written, and a change that is not recorded is not made'
const stillChanging = 'the files kept changing while they were read; reload again when they are written'
const mostNamed = 20
/** Lines of one change in the log, and in its record. */
const mostLogged = 200

function someOf(lines: readonly string[]): readonly string[] {
  const others = lines.length - mostLogged
  // One more may say already how many there are.
  return others <= 1 ? lines : [...lines.slice(0, mostLogged), `and ${others} more`]
}

/** Reloads that are remembered, and diagnostics of each. */
const mostReloads = 50

export function createLivePolicies(
  first: { readonly loaded: UsablePolicies; readonly signature: string },
  options: LivePoliciesOptions,
) {
  const { keyring, loader, sinks, instruments, log, now } = options
  let inForce = first.loaded
  /** Its rights end while it is in force. */
  let inTime = new PolicyInTime(first.loaded.policy, now, loader.prepare)
  let loadedAtMs = now()
  let refusal: RefusedChange | null = null
  let before: ReplacedPolicies | null = null
  let watcher: FileWatcher<ReloadResult> | null = null
  let isClosed = false
  const history: PolicyReload[] = []
  enforce(first.loaded)
  remember('loaded', 'gateway', [])

  function remember(result: PolicyReload['result'], actor: string, diagnostics: readonly string[]): void {
    const { revision } = inForce.policy
    history.unshift({ atMs: now(), result, actor, revision, diagnostics: diagnostics.slice(0, mostNamed) })
    history.length = Math.min(history.length, mostReloads)
  }

  function enforce(loaded: UsablePolicies): void {
    const { policy, secrets, diagnostics } = loaded
    keyring.adopt(policy.keys, secrets)
    inForce = loaded
    loadedAtMs = now()
    inTime = new PolicyInTime(policy, now, loader.prepare)
    instruments.policyLoaded({
      revision: policy.revision,
      atMs: loadedAtMs,
      teams: policy.teams.map((team) => team.id),
      keys: policy.keys.map((handle) => handle.id),
    })
    instruments.warnRules(warnRulesOf(policy))
    agree()
    for (const diagnostic of diagnostics.slice(0, mostLogged))
      log.warn({ event: 'policy-warning' }, formatDiagnostic(diagnostic))
    const others = diagnostics.length - mostLogged
    if (others > 0)
      log.warn({ event: 'policy-warning' }, `and ${counted(others, 'more warning')}: devin-gateway check tells them`)
  }

  /** Files and snapshot say the same. */
  function agree(): void {
    refusal = null
    instruments.policyRefused(false)
  }

  async function take(
    outcome: ReadFiles<UsablePolicies>['outcome'],
    actor: string,
    onDemand: boolean,
  ): Promise<ReloadResult> {
    if (isClosed) return 'deferred'
    if (!sinks.auditHealthy()) return refuse(actor, 'deferred', [unrecorded])
    if ('error' in outcome) return refuse(actor, 'refused', reasonsOf(outcome.error))
    const next = outcome.value
    if (next.digest === inForce.digest && sameSecrets(next)) {
      // Its sources have answered, or have not.
      keyring.adopt(inForce.policy.keys, next.secrets)
      agree()
      instruments.policyReload('unchanged')
      if (onDemand) remember('unchanged', actor, [])
      log.info(
        { event: 'policies-unchanged', revision: inForce.policy.revision, actor },
        'the policies are what they were',
      )
      return 'unchanged'
    }
    const lost = lostValues(next)
    if (lost.length > 0) return refuse(actor, 'deferred', lost)
    const vanished = await inTurns(vanishedBounds(inForce.bounds, next.bounds))
    if (vanished.length > 0 && !onDemand) return refuse(actor, 'held', heldReasons(vanished))
    return await replace(next, actor, vanished)
  }

  async function replace(next: UsablePolicies, actor: string, vanished: readonly string[]): Promise<ReloadResult> {
    const { policy, testsPassed } = next
    const recorded = await sinks.audit('policies-replaced', actor, {
      from: inForce.policy.revision,
      to: policy.revision,
      teams: policy.teams.length,
      keys: policy.keys.length,
      tests_passed: testsPassed,
      ...(vanished.length > 0 ? { bounds_removed: someOf(vanished) } : {}),
    })
    if (!recorded) return refuse(actor, 'deferred', [unrecorded])
    before = { revision: inForce.policy.revision, files: inForce.files }
    enforce(next)
    instruments.policyReload('replaced')
    remember('replaced', actor, next.diagnostics.map(formatDiagnostic))
    log.info({ event: 'policies-replaced', revision: policy.revision, actor }, 'policies replaced')
    return 'replaced'
  }

  function reasonsOf(error: unknown): readonly string[] {
    if (error instanceof Refused) return someOf(error.diagnostics.map(formatDiagnostic))
    if (error instanceof StillChanging) return [`${options.directory}: ${stillChanging}`]
    log.error({ event: 'defect', error }, "loading the policies failed for a reason of the gateway's own")
    return ['the policies could not be loaded']
  }

  function heldReasons(vanished: readonly string[]): readonly string[] {
    const named = vanished.slice(0, mostNamed).map((bound) => `${options.directory}: ${bound} is gone`)
    const others = vanished.length - named.length
    return [
      ...named,
      ...(others > 0 ? [`${options.directory}: and ${others} more`] : []),
      `${options.directory}: a file that is missing or half written for a moment looks the same, so this set waits for a reload on demand: SIGHUP, or POST /api/reload`,
    ]
  }

  function sameSecrets(next: UsablePolicies): boolean {
    return next.policy.keys.every((handle) => keyring.holds(handle, next.secrets))
  }

  /** Keys that work, and would not any more because their new place gives no answer. */
  function lostValues({ policy, secrets }: UsablePolicies): readonly string[] {
    return policy.keys
      .filter((handle) => keyring.wouldLose(handle, secrets))
      .map(({ id, source }) => {
        const why = secrets.away.get(id)?.message ?? ''
        return `${source.file}:${source.line}: key "${id}": ${why}; it has a value from its earlier place, so the change waits until the new place answers`
      })
  }

  function refuse(actor: string, result: RefusedChange['result'], diagnostics: readonly string[]): ReloadResult {
    refusal = { atMs: now(), result, diagnostics }
    instruments.policyReload(result === 'held' ? 'held' : 'refused')
    remember(result, actor, diagnostics)
    instruments.policyRefused(true)
    const event = result === 'held' ? 'policies-held' : 'policies-refused'
    const { revision } = inForce.policy
    log.error({ event, actor, diagnostics, revision }, refusalText[result])
    void sinks.audit(event, actor, { kept: revision, diagnostics })
    return result
  }

  return {
    /** The snapshot for a request that begins now. */
    get current(): PolicySet {
      return inTime.current
    },
    /** Its files as they were read. */
    get files(): readonly PolicyText[] {
      return inForce.files
    },
    /** Null: the first set is in force. */
    get before(): ReplacedPolicies | null {
      return before
    },
    get loadedAtMs(): number {
      return loadedAtMs
    },
    /** The set as it was loaded, with warnings and invariants. */
    get loaded(): Pick<UsablePolicies, 'diagnostics' | 'invariants'> {
      return inForce
    },
    /** The latest reloads, the latest first. */
    get history(): readonly PolicyReload[] {
      return history
    },
    /** Why the latest changed set was refused; null while the files and the snapshot agree. */
    get refusal(): RefusedChange | null {
      return refusal
    },
    /** Reads the files again now. */
    reload: async (actor: string): Promise<ReloadResult> => {
      if (watcher !== null) return await watcher.reload(actor)
      return await take((await readInOneState(options.watched)).outcome, actor, true)
    },
    watch(): void {
      watcher = watchFiles({
        watched: options.watched,
        signature: first.signature,
        take,
        isDeferred: (result) => result === 'deferred',
      })
    },
    close(): void {
      isClosed = true
      loader.close()
      watcher?.close()
    },
  }
}

const refusalText = {
  refused: 'the changed policies were refused; the ones before stay in force',
  deferred: 'the changed policies were refused; the ones before stay in force',
  held: 'the changed policies lack bounds that are in force; the ones before stay in force until a reload on demand',
} as const
