// The requests that use a key, here and on other instances, as a rotation leads them from one value to the next.

import { counted, plural } from '../../config/plural.ts'
import type { Keyring } from '../keyring.ts'
import type { Secret } from '../secret.ts'
import { FleetAway, type KeyFleet, type RotationClock } from './parts.ts'

/** What other instances say of the value that they use. */
export interface KeyPeers {
  /** Tells them that this value is to be used. */
  announce(key: string, fingerprint: string): Promise<void>
  /** Why not all of them are known to use it and nothing else, as a sentence; null when they do. */
  waitFor(key: string, fingerprint: string): Promise<string | null>
  /** Nobody waits for them any more. */
  withdraw(key: string): void
}

/** By what instances recognise a value; reveals nothing of it. */
export function valueFingerprint(key: string, value: Secret): string {
  return value.derive(`devin-gateway: value of the key ${key}`).toString('base64url')
}

export interface LocalFleetOptions {
  readonly key: string
  readonly keyring: Pick<Keyring, 'hold' | 'tryOut' | 'use' | 'release' | 'versionOf'>
  /** Requests under way here with another version of the key than this one. */
  readonly underWay: (key: string, version: number) => number
  /** Null without a store. */
  readonly peers: KeyPeers | null
  /** Without a store: how long instances that nobody knows of may take to read the source again. */
  readonly settleMs: number
  readonly clock: RotationClock
}

/** One in `every` requests tries a new value. So many answers are enough, and so long; without a request, `quietMs`. */
const trial = { every: 10, answers: 20, mostMs: 5_000, quietMs: 1_000 }
const lookAgainMs = 100
/** A request that is under way for longer holds the old key; the rotation stops then, and can be taken up again. */
const longestMs = 3_600_000

/** The requests of this process, and of all that share its store. */
export function createLocalFleet(options: LocalFleetOptions): KeyFleet {
  const { key, keyring, underWay, peers, settleMs, clock } = options
  return {
    hold: (value) => keyring.hold(key, value),
    async tryOut(value, signal) {
      const found = keyring.tryOut(key, value, trial.every)
      // Already in use: Devin has rejected the old value meanwhile.
      if (found === null) return { answered: 0, isRejected: false }
      for (let waitedMs = 0; waitedMs < trial.mostMs; waitedMs += lookAgainMs) {
        if (found.isRejected || found.answered >= trial.answers) break
        if (waitedMs >= trial.quietMs && !found.isAskedFor) break
        await clock.sleep(lookAgainMs, signal)
      }
      return { answered: found.answered, isRejected: found.isRejected }
    },
    async use(value, tell, signal) {
      keyring.use(key, value)
      const fingerprint = valueFingerprint(key, value)
      await peers?.announce(key, fingerprint).catch(unavailable)
      let said = ''
      for (let waitedMs = 0; ; waitedMs += lookAgainMs) {
        // A reading of the source that had begun before may have brought the other value back.
        keyring.use(key, value)
        const here = underWay(key, keyring.versionOf(key))
        const why =
          here > 0
            ? `${counted(here, 'request')} with the other value ${plural(here, 'is', 'are')} under way`
            : peers === null
              ? null
              : await peers.waitFor(key, fingerprint).catch(() => storeFailed)
        if (why === null) break
        if (why !== said) tell(`it waits: ${why}`)
        said = why
        if (waitedMs >= longestMs) throw new Error(`after an hour it still waits: ${why}`)
        await clock.sleep(lookAgainMs, signal)
      }
      if (peers !== null || settleMs === 0) return
      tell(
        `without a store nobody knows of other instances: it waits ${settleMs / 1000} s, so that they read the source again`,
      )
      await clock.sleep(settleMs, signal)
    },
    settled: 'all requests use the new key, and none with the old one is under way',
    release() {
      keyring.release(key)
      peers?.withdraw(key)
    },
  }
}

const storeFailed = 'the shared store did not answer'

function unavailable(error: unknown): never {
  throw new FleetAway('the shared store is away, so the other instances cannot be told which value to use', {
    cause: error,
  })
}

/** Where no gateway runs: nobody here uses the key, and instances elsewhere are given time to read the source again. */
export function createAbsentFleet(settleMs: number, clock: RotationClock): KeyFleet {
  return {
    hold() {},
    tryOut: () => Promise.resolve(null),
    async use(_value, tell, signal) {
      if (settleMs === 0) return
      tell(`gateways elsewhere may use the key: it waits ${settleMs / 1000} s, so that they read the source again`)
      await clock.sleep(settleMs, signal)
    },
    settled: 'gateways elsewhere have had the time to read the new value',
    release() {},
  }
}
