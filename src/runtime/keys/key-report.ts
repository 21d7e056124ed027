// The findings about keys of a running gateway, for its metrics and for operators. Deciding every cell takes time, so it is done in turns, and only
// after the policies have changed.

import { setImmediate } from 'node:timers/promises'
import { keyFindings, type KeyFinding } from '../../policy/key-report/findings.ts'
import { addOwnOperations, addReach, emptyReaches, type KeyReaches } from '../../policy/key-report/reach.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { inTurns } from '../../policy/model/steps.ts'
import type { Core } from '../core.ts'
import type { Identities } from './identities.ts'

/** What was not used within a day says something. */
export const watchedMs = 86_400_000

export interface KeyReport {
  /** Findings of the policies in force, or of those before while their cells are being decided. */
  findings(): readonly KeyFinding[]
  /** The same, with what they are drawn from. */
  look(): ReportedKeys
}

export interface ReportedKeys {
  /** The policies that the findings are about; null while none have been decided. */
  readonly policy: PolicySet | null
  readonly reaches: KeyReaches
  /** `failed`: deciding them ended with an error, and is tried again. */
  readonly state: 'known' | 'deciding' | 'failed'
  readonly findings: readonly KeyFinding[]
  readonly watchedSinceMs: number
}

export function createKeyReport(
  core: Pick<Core, 'keyring' | 'log' | 'monotonic' | 'now' | 'policies'>,
  identities: Identities,
): KeyReport {
  const { keyring, log, monotonic, now, policies } = core
  const startedAtMs = monotonic()
  const watchedSinceMs = now()
  let known: { readonly policy: PolicySet; readonly reaches: KeyReaches } | null = null
  let work: Promise<void> | null = null
  let hasFailed = false

  async function decide(policy: PolicySet): Promise<void> {
    const reaches = emptyReaches(policy)
    addOwnOperations(policy, reaches)
    // The first turn is not that of who asks.
    await setImmediate()
    await inTurns(addReach(policy, reaches))
    known = { policy, reaches }
    hasFailed = false
  }

  function findingsOf(policy: PolicySet, reaches: KeyReaches): readonly KeyFinding[] {
    const status = keyring.status()
    return keyFindings(policy, {
      reaches,
      uses: null,
      watched: monotonic() - startedAtMs < watchedMs ? null : 'since the gateway started',
      atDevin: new Map(
        status.map(({ handle, usedPermissions }) => {
          const { identity, fault, changedFrom, endsAtMs, roles } = identities.statusOf(handle.id)
          return [
            handle.id,
            {
              serviceUser: identity?.serviceUser ?? null,
              fault: fault?.text ?? null,
              action: fault?.action ?? null,
              changedFrom: changedFrom?.serviceUser ?? null,
              endsAtMs,
              roles,
              usedPermissions,
            },
          ]
        }),
      ),
      twins: new Map(
        status.flatMap(({ handle, sameValueAs }) => (sameValueAs === null ? [] : [[handle.id, sameValueAs]])),
      ),
      nowMs: now(),
    })
  }

  function look(): ReportedKeys {
    const { current } = policies
    if (known?.policy !== current && work === null)
      work = decide(current)
        .catch((error: unknown) => {
          hasFailed = true
          log.error({ event: 'defect', error }, 'the powers of keys could not be found out')
        })
        .finally(() => {
          work = null
        })
    const state = known?.policy === current ? 'known' : hasFailed ? 'failed' : 'deciding'
    if (known === null) return { policy: null, reaches: new Map(), state, findings: [], watchedSinceMs }
    const { policy, reaches } = known
    return { policy, reaches, state, findings: findingsOf(policy, reaches), watchedSinceMs }
  }

  return { look, findings: () => look().findings }
}
