// The neighbours of the attacker: reads at a steady rate, each timed from when it was due.

import { Agent, request } from 'node:https'
import type { Caller } from '../identity.ts'
import { quantile } from '../statistics.ts'
import { homeOf } from './site.ts'

export interface Experience {
  readonly requests: number
  readonly failed: number
  readonly medianMs: number
  readonly p99Ms: number
}

export interface Neighbourhood {
  /** Sends reads for so long and waits for their answers. One that fails counts as answered after `longestMs`. */
  live(ms: number, perSecond: number): Promise<Experience>
  close(): void
}

/** How long a neighbour waits for an answer. */
const longestMs = 20_000

/** Opens the neighbours' connections lazily; they are kept between periods. */
export function openNeighbourhood(port: number, ca: string, callers: readonly Caller[]): Neighbourhood {
  const agent = new Agent({ keepAlive: true, ca, maxSockets: 128 })
  let sent = 0

  /** Milliseconds, or null when it failed. */
  function read(dueMs: number): Promise<number | null> {
    const caller = callers[sent % callers.length]
    const path = `${homeOf(caller?.team ?? '')}/sessions/devin-${sent % 40}/messages`
    sent += 1
    return new Promise((resolve) => {
      const call = request(
        { host: '127.0.0.1', port, path, agent, headers: { authorization: `Bearer ${caller?.token ?? ''}` } },
        (response) => {
          response.resume()
          response.once('end', () => resolve(response.statusCode === 200 ? performance.now() - dueMs : null))
          response.once('error', () => resolve(null))
        },
      )
      call.setTimeout(longestMs, () => call.destroy())
      call.once('error', () => resolve(null))
      call.end()
    })
  }

  return {
    async live(ms, perSecond) {
      const startedMs = performance.now()
      const total = Math.round((ms / 1000) * perSecond)
      const calls: Promise<number | null>[] = []
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * perSecond))
          while (calls.length < due) calls.push(read(startedMs + ((calls.length + 1) / perSecond) * 1000))
          if (calls.length < total) return
          clearInterval(timer)
          resolve()
        }, 2)
      })
      const answers = await Promise.all(calls)
      const times = Float64Array.from(answers, (time) => time ?? longestMs)
      return {
        requests: answers.length,
        failed: answers.filter((time) => time === null).length,
        medianMs: quantile(times, 0.5),
        p99Ms: quantile(times, 0.99),
      }
    },
    close: () => agent.destroy(),
  }
}
