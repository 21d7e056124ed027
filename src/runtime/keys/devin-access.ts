// How rotations ask Devin: over the connections of the gateway, with the key that rotates or with the value that is asked about.

import type { OwnCalls } from '../../gateway/own-calls/own-calls.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { KeyVersion, Keyring } from '../../keys/keyring.ts'
import { createDevinKeys, DevinFault, type DevinKeys } from '../../keys/rotation/devin-keys.ts'

/** The keys of Devin, for the rotation of one key with another one. */
export function devinKeysFor(
  calls: Pick<OwnCalls, 'send'>,
  keyring: Pick<Keyring, 'open' | 'used'>,
  handle: KeyHandle,
  rotating: KeyHandle,
): DevinKeys {
  let opened: KeyVersion | null = null
  return createDevinKeys(
    async ({ operation, parameters, query = '', body }, value, signal) => {
      // A value that is asked about is no version of the key, or not yet.
      const version = opened?.secret === value ? opened : { handle, version: 0, secret: value }
      const text = body === undefined ? null : JSON.stringify(body)
      return await abortable(calls.send(operation, parameters, query, text, version), signal)
    },
    () => {
      const version = keyring.open(rotating)
      if (typeof version === 'string')
        throw new DevinFault('denied', `key "${rotating.id}", which rotates it, cannot be used now: it is ${version}`)
      opened = version
      keyring.used(rotating, ['ManageAccountServiceUsers'])
      return version.secret
    },
  )
}

/** Waits no longer than the signal says; what was sent is done or not. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => {})
  }
}
