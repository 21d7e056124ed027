// Acknowledgements of broadcasts: a call waits until every member has answered, has left, or its lease has expired.

import type { Acknowledgement } from './messages.ts'

interface Call {
  readonly answers: Map<string, number>
  /** Members that have not answered; null before it is known who they are. */
  awaited: Set<string> | null
  finish: () => void
}

export interface BroadcastOutcome {
  readonly dropped: number
  readonly instances: number
  readonly silent: number
}

export class Acknowledgements {
  readonly #calls = new Map<number, Call>()

  /** From now on answers to this call are noted; they may come before `complete`. */
  open(call: number): void {
    this.#calls.set(call, { answers: new Map(), awaited: null, finish: () => undefined })
  }

  /** Waits for these members, no longer than the time given. */
  async complete(number: number, members: readonly string[], withinMs: number): Promise<BroadcastOutcome> {
    const call = this.#calls.get(number)
    if (call === undefined) return { dropped: 0, instances: 0, silent: members.length }
    const awaited = new Set(members.filter((member) => !call.answers.has(member)))
    if (awaited.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, withinMs)
        call.awaited = awaited
        call.finish = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#calls.delete(number)
    const dropped = [...call.answers.values()].reduce((sum, each) => sum + each, 0)
    return { dropped, instances: call.answers.size, silent: awaited.size }
  }

  forget(call: number): void {
    this.#calls.delete(call)
  }

  answered({ call: number, member, dropped }: Acknowledgement): void {
    const call = this.#calls.get(number)
    if (call === undefined) return
    call.answers.set(member, dropped)
    strike(call, member)
  }

  /** These members have left and serve nothing any more. */
  out(members: readonly string[]): void {
    for (const call of this.#calls.values()) for (const member of members) strike(call, member)
  }
}

function strike(call: Call, member: string): void {
  if (call.awaited?.delete(member) === true && call.awaited.size === 0) call.finish()
}
