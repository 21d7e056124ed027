// Rotations without a gateway: the command does by itself what a running gateway would do, for a configuration that no gateway runs here.

import { isAbsolute } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Config } from '../../config/load.ts'
import { sourceOf } from '../../keys/reading.ts'
import { createAbsentFleet } from '../../keys/rotation/fleet.ts'
import type { Rotation } from '../../keys/rotation/rotation.ts'
import { createRotations } from '../../keys/rotation/service.ts'
import { Secret } from '../../keys/secret.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { AuditLog } from '../../records/audit/audit-log.ts'
import { devinKeysFor } from './devin-access.ts'
import { openLoneDevin } from './lone-devin.ts'
import { lockRotation, rotationFolder, usualSettleMs, keyValues } from './rotations.ts'

export interface LoneOptions {
  readonly config: Config
  readonly policy: PolicySet
  readonly env: Readonly<Record<string, string | undefined>>
  /** What happens, as sentences. */
  readonly onEvent: (rotation: Rotation, text: string, isFault: boolean) => void
  readonly onTrouble: (text: string) => void
}

/** Reads the sources and opens what a rotation needs; `close` gives it back. */
export async function openLoneRotations({ config, policy, env, onEvent, onTrouble }: LoneOptions) {
  const { origin } = config.upstream
  const now = Date.now
  // The command has nothing else to wait for.
  const clock = { now, sleep: async (ms: number, signal: AbortSignal) => await wait(ms, undefined, { signal }) }
  const devin = await openLoneDevin(config, policy, env, now)
  const { calls, keyring, sources } = devin
  const folder = rotationFolder(config.blocksFile)
  // What would stand among the output of the command goes to standard error.
  const target = isAbsolute(config.records.audit) ? config.records.audit : 'stderr'
  const audit = new AuditLog({ target, nowMs: now, onTrouble })
  const rotations = createRotations({
    folder,
    keys: () => policy.keys,
    operation: (id) => policy.catalogue.operation(id),
    permissions: policy.catalogue.permissions,
    sourceOf: (handle) => sourceOf(handle, sources),
    devin: (handle, rotating) => devinKeysFor(calls, keyring, handle, rotating),
    fleet: (handle, settleMs) => createAbsentFleet(settleMs ?? handle.rotate?.settleMs ?? usualSettleMs(handle), clock),
    ...keyValues(keyring),
    secretOf: (text) => new Secret(text, origin),
    origin,
    lock: (key) => lockRotation(folder, key),
    lease: null,
    clock,
    audit: (event, by, details) => audit.write(event, by, details),
    onEvent,
    onEnd() {},
  })
  return {
    rotations,
    async close(): Promise<void> {
      await rotations.close()
      await devin.close()
      await audit.close()
    },
  }
}
