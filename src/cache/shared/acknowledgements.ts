// Acknowledgements of broadcasts: a call waits until every member has answered, has left, or its lease has expired.

import type { BroadcastResult } from '../invalidation/peers.ts'
import type { Acknowledgement } from './messages.ts'

interface Call {
  readonly number: number
  readonly answers: Map<string, number>
  /** Members that have not answered; empty before it is known who they are. */
  awaited: Set<string>
  readonly finished: PromiseWithResolvers<void>
}

export class Acknowledgements {
  readonly #calls = new Map<number, Call>()

  /** From now on answers to a call with this number are noted; they may come before `complete`. */
  open(number: number): Call {
    const call = { number, answers: new Map(), awaited: new Set<string>(), finished: Promise.withResolvers<void>() }
    this.#calls.set(number, call)
    return call
  }

  /** Waits for these members, no longer than the time given. */
  async complete(
    call: Call,
    members: readonly string[],
    withinMs: number,
  ): Promise<Pick<BroadcastResult, 'dropped' | 'instances' | 'silent'>> {
    const { answers, finished } = call
    call.awaited = new Set(members.filter((member) => !answers.has(member)))
    if (call.awaited.size > 0) {
      const timer = setTimeout(finished.resolve, withinMs)
      await finished.promise
      clearTimeout(timer)
    }
    this.close(call)
    const dropped = [...answers.values()].reduce((sum, each) => sum + each, 0)
    return { dropped, instances: answers.size, silent: call.awaited.size }
  }

  /** Nothing is noted any more. */
  close({ number }: Call): void {
    this.#calls.delete(number)
  }

  answered({ call: number, member, dropped }: Acknowledgement): void {
    const call = this.#calls.get(number)
    call?.answers.set(member, dropped)
    strike(call, member)
  }

  /** These members have left and serve nothing any more. */
  out(members: readonly string[]): void {
    for (const call of this.#calls.values()) for (const member of members) strike(call, member)
  }
}

function strike(call: Call | undefined, member: string): void {
  if (call?.awaited.delete(member) === true && call.awaited.size === 0) call.finished.resolve()
}
