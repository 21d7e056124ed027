// The keys as the running gateway of a configuration shows them.

import type { KeyView } from '../../admin/views.ts'
import type { KeyAtDevin } from '../../policy/key-report/findings.ts'
import { adminAddress } from '../operators.ts'

/** The answer of the running gateway of this configuration; null when there is none. */
export async function liveKeys(admin: { host: string; port: number }): Promise<readonly KeyView[] | null> {
  try {
    const response = await fetch(`${adminAddress(admin)}/api/keys`, {
      signal: AbortSignal.timeout(1000),
      redirect: 'error',
    })
    // Our own listener's answer.
    return response.ok ? ((await response.json()) as KeyView[]) : null
  } catch {
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
