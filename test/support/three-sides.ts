// One raw request seen from three sides: the caller's answer, what the upstream received, the records that were left.

import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { rawRequest, sendRaw, type RawAnswer } from './raw-request.ts'
import { until, type RunningGateway } from './start-gateway.ts'
import type { Seen } from './upstream.ts'

export interface ThreeSides {
  readonly answer: RawAnswer
  /** Requests that reached the upstream meanwhile. */
  readonly seen: readonly Seen[]
  /** Records that were left meanwhile; more or fewer than one of each is a fault. */
  readonly access: readonly AccessEntry[]
  readonly decisions: readonly DecisionEntry[]
}

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly instance: string
  readonly reason: string
  readonly decision_id: string
}

/** Sends one request of the payments team byte for byte and waits for its records. `token: null` sends none. */
export async function ask(
  running: RunningGateway,
  method: string,
  target: string,
  options: { readonly fields?: readonly string[]; readonly body?: string; readonly token?: string | null } = {},
): Promise<ThreeSides> {
  const token = options.token === undefined ? await running.token() : options.token
  const fields = token === null ? [] : [`Authorization: Bearer ${token}`]
  return await watch(running, () =>
    sendRaw(running.port, rawRequest(method, target, [...fields, ...(options.fields ?? [])], options.body)),
  )
}

/** Does something that makes one exchange, and collects what it left. */
export async function watch(running: RunningGateway, act: () => Promise<RawAnswer>): Promise<ThreeSides> {
  const before = { access: (await running.access()).length, decisions: (await running.decisions()).length }
  const seenBefore = running.upstream.seen.length
  const answer = await act()
  await until(
    async () =>
      (await running.access()).length > before.access && (await running.decisions()).length > before.decisions,
    'the records',
  )
  return {
    answer,
    seen: running.upstream.seen.slice(seenBefore),
    access: (await running.access()).slice(before.access),
    decisions: (await running.decisions()).slice(before.decisions),
  }
}

/** The problem document of an answer; throws when the answer is none. */
export function problemOf(answer: RawAnswer): Problem {
  if (answer.fields['content-type'] !== 'application/problem+json')
    throw new Error(`no problem document: ${answer.text.slice(0, 400)}`)
  // The suites check its members one by one.
  return JSON.parse(answer.body) as Problem
}

/** Last segment of the problem's type, or `forwarded 200` and the like for an answer that is no problem of the gateway's. */
export function kindOf(answer: RawAnswer): string {
  if (answer.fields['content-type'] !== 'application/problem+json') return `no problem: ${answer.status}`
  return problemOf(answer).type.replace('/gateway/v1/problems/', '')
}
