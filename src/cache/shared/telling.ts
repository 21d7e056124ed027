// Telling all instances to drop something, and waiting until none can serve it any more. Used by group.ts.

import type { Script, Store } from '../../store/store.ts'
import type { Drop, Told } from '../peers.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { leaseMs } from './lease.ts'
import { readAcknowledgement, writeAcknowledgement } from './messages.ts'
import { tell } from './scripts.ts'

const retryMs = 50

export interface TellingOptions {
  readonly store: Store
  readonly monotonic: () => number
  readonly run: (what: Script, values: readonly string[]) => Promise<unknown>
  /** Whether it makes sense to try again. */
  readonly isTogether: () => boolean
  /** When, by the monotonic clock, all others will have noticed that this instance is cut off. */
  readonly noticedAtMs: () => number
}

/** What became of all that was told: all answered, some were silent and waited out, the store could not be reached. */
export interface TellingCounts {
  readonly answered: number
  readonly silent: number
  readonly unreached: number
}

export interface Telling {
  readonly counts: TellingCounts
  tell(drop: Drop): Promise<Told>
  /** Answers who has told something. */
  answer(to: { readonly from: string; readonly call: number }, member: string, dropped: number): void
  /** These serve nothing any more: nobody waits for them. */
  out(members: readonly string[]): void
}

export function createTelling({ store, monotonic, run, isTogether, noticedAtMs }: TellingOptions): Telling {
  const acknowledgements = new Acknowledgements()
  const channelOf = (instance: string): string => store.channel('cache', instance)
  const counts = { answered: 0, silent: 0, unreached: 0 }
  let calls = 0

  store.subscribe(channelOf(store.instance), {
    message(text) {
      const answer = readAcknowledgement(text.toString())
      if (answer !== null) acknowledgements.answered(answer)
    },
    // Who misses an answer waits for the end of a lease instead.
    lost: () => undefined,
    restored: () => undefined,
  })

  return {
    counts,
    async tell({ names, unsettled }) {
      calls += 1
      const call = calls
      acknowledgements.open(call)
      const payload = JSON.stringify({ drop: names, unsettled, from: store.instance, call })
      do {
        try {
          const [leftMs, members] = (await run(tell, [payload])) as [number, string[]]
          const untilMs = monotonic() + leftMs
          const outcome = await acknowledgements.complete(call, members, leaseMs)
          await sleep(untilMs - monotonic())
          counts[outcome.silent === 0 ? 'answered' : 'silent'] += 1
          return { ...outcome, reached: true }
        } catch {
          // It may have been done all the same; twice does no harm.
          await sleep(isTogether() ? retryMs : 0)
        }
      } while (isTogether())
      acknowledgements.forget(call)
      await sleep(noticedAtMs() - monotonic())
      counts.unreached += 1
      return { dropped: 0, instances: 1, silent: 0, reached: false }
    },
    answer({ from, call }, member, dropped) {
      const answer = { call, member, dropped }
      if (from === store.instance) acknowledgements.answered(answer)
      else store.publish(channelOf(from), writeAcknowledgement(answer)).catch(() => {})
    },
    out: (members) => acknowledgements.out(members),
  }
}

async function sleep(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(ms)))
}
