// Watches who the keys are, and tells: log, audit log, notes of /readyz.

import { readAccount, readSelf } from '../../gateway/own-calls/key-reader.ts'
import type { OwnCalls } from '../../gateway/own-calls/own-calls.ts'
import { endingText } from '../../config/values/instants.ts'
import { changedText, createIdentityWatch, type IdentityEvent } from '../../keys/identity/identity-watch.ts'
import type { Core } from '../core.ts'

/** How long a start may wait for the first answers before it counts as ready: a Devin that hangs must not hold it. */
const patienceMs = 2_000

/** Nothing is asked before `start`. */
export function openIdentities(
  core: Pick<Core, 'config' | 'keyring' | 'log' | 'monotonic' | 'now' | 'sinks'>,
  calls: OwnCalls,
) {
  const { config, keyring, log, monotonic, now, sinks } = core
  let startedAtMs = monotonic()
  const watch = createIdentityWatch({
    versions: keyring.versions,
    mayAsk: (handle) => ['ready', 'quarantined'].includes(keyring.stateOf(handle)),
    ask: (version) => readSelf(calls, version),
    askAccount: (identity) => readAccount(calls, identity, now()),
    onEvent(event, { handle, version }, text) {
      const level = levels[event]
      const mode = config.keyIdentity === 'report' ? ' (reported only: key_identity in the configuration says so)' : ''
      log[level]({ event, key: handle.id, version }, `key "${handle.id}" ${text}${mode}`)
      void sinks.audit(event, 'gateway', { key: handle.id, version, why: text })
    },
    now,
    monotonic,
    random: Math.random,
  })
  if (config.keyIdentity === 'enforce') keyring.quarantineBy(watch.isQuarantined)
  keyring.whenChanged(watch.follow)
  return {
    statusOf: watch.statusOf,
    /** Why the instance is not ready yet, or null. */
    get reason(): string | null {
      return config.keyIdentity === 'off' || watch.isFirstPassOver || monotonic() - startedAtMs > patienceMs
        ? null
        : 'the keys are being asked who they are'
    },
    /** What is wrong with keys. */
    get notes(): readonly string[] {
      return keyring.versions().flatMap(({ handle: { id } }) => {
        const { fault, changedFrom, identity, endsAtMs } = watch.statusOf(id)
        const ending = endsAtMs === null ? null : endingText(endsAtMs, now())
        return [
          ...(fault === null
            ? []
            : [`key "${id}" ${config.keyIdentity === 'enforce' ? 'is quarantined: it ' : ''}${fault.text}`]),
          ...(changedFrom === null || identity === null ? [] : [`key "${id}" ${changedText(changedFrom, identity)}`]),
          ...(ending === null ? [] : [`key "${id}" ${ending} at Devin: rotate it`]),
        ]
      })
    },
    start(): void {
      startedAtMs = monotonic()
      if (config.keyIdentity !== 'off') watch.start()
    },
    close: watch.close,
  }
}

export type Identities = ReturnType<typeof openIdentities>

const levels: Readonly<Record<IdentityEvent, 'error' | 'warn' | 'info'>> = {
  'key-quarantined': 'error',
  'key-service-user-changed': 'warn',
  'key-released': 'info',
}
