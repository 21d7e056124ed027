// Connects the caches of the instances that share a store: what one drops, all drop before it continues.

import type { Store } from '../../store/store.ts'
import type { Drop, PeerHandlers, Peers, BroadcastResult } from '../invalidation/peers.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { BroadcastCounts } from './group-view.ts'
import { readAcknowledgement, readDrop, writeAcknowledgement } from './messages.ts'

const retryMs = 50
/** While broadcasts may be missed, answers are kept no longer than the class `short`. */
const cautiousMs = 30_000

export interface BroadcastOptions {
  readonly store: Pick<Store, 'instance' | 'key' | 'membership' | 'subscribe' | 'publish'>
  readonly monotonic: () => number
}

export interface InvalidationBroadcast extends Peers {
  readonly counts: BroadcastCounts
}

export function createInvalidationBroadcast({ store, monotonic }: BroadcastOptions): InvalidationBroadcast {
  const { membership } = store
  const acknowledgements = new Acknowledgements()
  const channelOf = (instance: string): string => store.key('cache', instance)
  const counts = { answered: 0, silent: 0, unreached: 0 }
  let handlers: PeerHandlers = { drop: () => 0, dropAll: () => undefined }
  let calls = 0

  membership.attach({
    message(body) {
      const message = readDrop(body)
      if (message === null) return
      const { drop: names, unsettled, from, call } = message
      const answer = { call, member: membership.member, dropped: handlers.drop({ names, unsettled }) }
      if (from === store.instance) acknowledgements.answered(answer)
      else store.publish(channelOf(from), writeAcknowledgement(answer)).catch(() => {})
    },
    reset: () => handlers.dropAll(),
    out: (members) => acknowledgements.out(members),
  })
  store.subscribe(channelOf(store.instance), {
    message(text) {
      const answer = readAcknowledgement(text.toString())
      if (answer !== null) acknowledgements.answered(answer)
    },
    // A lost acknowledgement costs a wait until the lease ends.
    lost: () => undefined,
    restored: () => undefined,
  })

  function isMember(): boolean {
    membership.check()
    return membership.status !== 'isolated'
  }

  /**
   * An instance that is a member again before the others take it to be cut off has to tell them: they keep what they have. False
   * when all of them have noticed that it is cut off.
   */
  async function isBackInTime(): Promise<boolean> {
    while (!isMember()) {
      const leftMs = membership.noticedAtMs - monotonic()
      if (leftMs <= 0) return false
      await membership.joined(Math.ceil(leftMs))
    }
    return true
  }

  return {
    counts,
    attach: (given) => (handlers = given),
    check: membership.check,
    get atMostMs() {
      return membership.status === 'joined' ? null : cautiousMs
    },
    async broadcast({ names, unsettled }: Drop): Promise<BroadcastResult> {
      calls += 1
      const call = calls
      const opened = acknowledgements.open(call)
      for (let isWorthIt = true; isWorthIt; isWorthIt = isMember() || (await isBackInTime())) {
        try {
          const drop = { drop: names, unsettled, from: store.instance, call }
          const { members, answerWithinMs, untilMs } = await membership.send(drop)
          const outcome = await acknowledgements.complete(opened, members, answerWithinMs)
          await sleep(untilMs - monotonic())
          counts[outcome.silent === 0 ? 'answered' : 'silent'] += 1
          return { ...outcome, reached: true }
        } catch {
          // The message may have been sent; sending it twice does no harm.
          await sleep(isMember() ? retryMs : 0)
        }
      }
      acknowledgements.close(opened)
      counts.unreached += 1
      return { dropped: 0, instances: 1, silent: 0, reached: false }
    },
  }
}

async function sleep(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(ms)))
}
