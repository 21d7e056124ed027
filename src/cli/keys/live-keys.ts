// The keys as the running gateway of a configuration shows them.

import type { KeyView } from '../../admin/views.ts'
import type { KeyAtDevin } from '../../policy/key-report/findings.ts'
import type { Config } from '../../config/load.ts'
import type { Invocation } from '../invocation.ts'
import { operatorsOf, OperatorsRefused } from '../operators.ts'

/** The answer of the running gateway of this configuration; null when there is none, and when it wants a login, which is told. */
export async function liveKeys(config: Config, invocation: Invocation): Promise<readonly KeyView[] | null> {
  try {
    const response = await operatorsOf(config, invocation).send('/api/keys', { signal: AbortSignal.timeout(1000) })
    // Our own listener's answer.
    return response.ok ? ((await response.json()) as KeyView[]) : null
  } catch (error) {
    if (error instanceof OperatorsRefused) invocation.tell(`note: ${error.message}`)
    return null
  }
}

/** What the gateway knows of a key, for a report. */
export function atDevin({ identity, permissions, unused_permissions: unused }: KeyView): KeyAtDevin {
  return {
    serviceUser: identity?.service_user ?? null,
    fault: identity?.fault ?? null,
    action: identity?.action ?? null,
    changedFrom: identity?.changed_from ?? null,
    endsAtMs: identity?.ends_at == null ? null : Date.parse(identity.ends_at),
    roles: identity?.roles ?? null,
    usedPermissions: new Set(permissions.filter((permission) => !unused.includes(permission))),
  }
}
