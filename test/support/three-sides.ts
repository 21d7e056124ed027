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
  return ofAnswer(
    await watch(running, () =>
      sendRaw(running.port, rawRequest(method, target, [...fields, ...(options.fields ?? [])], options.body)),
    ),
  )
}

/** Leaves out the records of exchanges before, which may be written late. */
export function ofAnswer(sides: ThreeSides): ThreeSides {
  const id = sides.answer.fields['gateway-decision']
  const ofThis = (entry: { decision_id: string }): boolean => entry.decision_id === id
  return { ...sides, access: sides.access.filter(ofThis), decisions: sides.decisions.filter(ofThis) }
}

/** Does something that makes one exchange, and collects what it left. */
export async function watch(running: RunningGateway, act: () => Promise<RawAnswer>): Promise<ThreeSides> {
  const before = { access: (await running.access()).length, decisions: (await running.decisions()).length }
  const seenBefore = running.upstream.seen.length
  const answer = await act()
  const id = answer.fields['gateway-decision']
  await until(async () => {
    const [access, decisions] = [await running.access(), await running.decisions()]
    if (id === undefined) return access.length > before.access && decisions.length > before.decisions
    return [access, decisions].every((list) => list.some((entry) => entry.decision_id === id))
  }, 'the records')
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
  return JSON.parse(Buffer.from(answer.body, 'latin1').toString('utf8')) as Problem
}

/** Last segment of the problem's type, or `forwarded 200` and the like for an answer that is no problem of the gateway's. */
export function kindOf(answer: RawAnswer): string {
  if (answer.fields['content-type'] !== 'application/problem+json') return `no problem: ${answer.status}`
  return problemOf(answer).type.replace('/gateway/v1/problems/', '')
}

export interface Asked {
  readonly name: string
  readonly method?: string
  readonly target: string | Buffer
  readonly fields?: readonly string[]
  readonly body?: string
  readonly token?: string | null
}

/**
 * Sends many requests one after another and collects their records at the end, by decision id: records are written in
 * batches, and a table that waits for each of them is slow. Throws when there are more or fewer records than requests.
 */
export async function askAll(running: RunningGateway, cases: readonly Asked[]): Promise<Map<string, ThreeSides>> {
  const token = await running.token()
  const before = await running.settled()
  const asked: { name: string; answer: RawAnswer; seen: Seen[] }[] = []
  for (const { name, method = 'GET', target, fields = [], body = '', token: given = token } of cases) {
    const seenBefore = running.upstream.seen.length
    const authorization = given === null ? [] : [`Authorization: Bearer ${given}`]
    const [start, end] = rawRequest(method, '\u0000', [...authorization, ...fields], body).split('\u0000')
    const bytes = Buffer.concat([start ?? '', target, end ?? ''].map((part) => Buffer.from(part as string, 'latin1')))
    const answer = await sendRaw(running.port, bytes)
    asked.push({ name, answer, seen: running.upstream.seen.slice(seenBefore) })
  }
  const read = async () => ({
    access: (await running.access()).slice(before),
    decisions: (await running.decisions()).slice(before),
  })
  await until(async () => {
    const { access, decisions } = await read()
    return access.length >= cases.length && decisions.length >= cases.length
  }, 'the records')
  const { access, decisions } = await read()
  if (access.length !== cases.length || decisions.length !== cases.length)
    throw new Error(`${cases.length} requests left ${access.length} access and ${decisions.length} decision records`)
  return new Map(
    asked.map(({ name, answer, seen }) => {
      const id = answer.fields['gateway-decision']
      const ofThis = (entry: { decision_id: string }): boolean => entry.decision_id === id
      return [name, { answer, seen, access: access.filter(ofThis), decisions: decisions.filter(ofThis) }]
    }),
  )
}

/** The sides of a case that `askAll` was given. */
export function sidesOf(all: ReadonlyMap<string, ThreeSides>, name: string): ThreeSides {
  const found = all.get(name)
  if (found === undefined) throw new Error(`no case ${name}`)
  return found
}
