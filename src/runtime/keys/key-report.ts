// The findings about keys of a running gateway, for its metrics. Deciding every cell takes time, so it is done team by team, and only
// after the policies have changed.

import { setImmediate } from 'node:timers/promises'
import { keyFindings, type KeyFinding } from '../../policy/key-report/findings.ts'
import { addOwnOperations, addReach, emptyReaches, type KeyReaches } from '../../policy/key-report/reach.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import type { Core } from '../core.ts'
import type { Identities } from './identities.ts'

/** What was not used within a day says something. */
const watchedMs = 86_400_000

export function createKeyReport(
  core: Pick<Core, 'keyring' | 'log' | 'monotonic' | 'now' | 'policies'>,
  identities: Identities,
) {
  const { keyring, log, monotonic, now, policies } = core
  const startedAtMs = monotonic()
  let known: { readonly policy: PolicySet; readonly reaches: KeyReaches } | null = null
  let work: Promise<void> | null = null

  async function decide(policy: PolicySet): Promise<void> {
    const reaches = emptyReaches(policy)
    addOwnOperations(policy, reaches)
    for (const { id } of policy.teams) {
      await setImmediate()
      addReach(policy, reaches, id)
    }
    known = { policy, reaches }
  }

  return {
    /** Of the policies in force, or of those before while their cells are being decided. */
    findings(): readonly KeyFinding[] {
      const { current } = policies
      if (known?.policy !== current && work === null)
        work = decide(current)
          .catch((error: unknown) => log.error({ event: 'defect', error }, 'the powers of keys could not be found out'))
          .finally(() => {
            work = null
          })
      if (known === null) return []
      const { policy, reaches } = known
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
    },
  }
}
