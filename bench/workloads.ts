// What is measured: each workload is one row. Where one needs other policies, installation.ts has a team for it.

import type { PeerId } from './peers/peer.ts'

export type KeyUse = 'reader' | 'runner'
/** `limited`: a good token of a team whose limit is used up. */
export type TokenKind = 'good' | 'forged' | 'limited'

/** One kind of request. */
export interface RequestSpec {
  readonly method: 'GET' | 'POST'
  /** Path and query; `{org}` stands for the organization of the token's team. */
  readonly target: string
  /** JSON body, or null. */
  readonly body: string | null
  readonly tokens: TokenKind
  /** The only right status. */
  readonly status: number
  /** The key with which a gateway must send it on; null: the upstream must not see it. */
  readonly key: KeyUse | null
  /** Holds from the second time on: the first fills the cache, or uses the limit up. */
  readonly primed: boolean
}

/** What is wanted; absent where nothing is. */
export interface Goals {
  /** The largest ratio of CPU time to each peer. */
  readonly cpu: Readonly<Partial<Record<PeerId, number>>>
  /** The smallest ratio of throughput to the bare proxy. */
  readonly throughput?: number
}

export interface Workload {
  readonly id: string
  readonly title: string
  readonly request: RequestSpec
  /** What the bare proxy does beside it: the same, or a forwarded read where it cannot do the same. */
  readonly reference: RequestSpec
  readonly goals: Goals
}

const session = '/v3/organizations/{org}/sessions/devin-3f1c9a72b6d84e05'

const read: RequestSpec = {
  method: 'GET',
  target: `${session}/messages?first=50`,
  body: null,
  tokens: 'good',
  status: 200,
  key: 'reader',
  primed: false,
}

const longRead: RequestSpec = { ...read, target: `${session}/attachments` }

const create: RequestSpec = {
  ...read,
  key: 'runner',
  method: 'POST',
  target: '/v3/organizations/{org}/knowledge/notes',
  body: padded({ name: 'Release checklist', trigger: 'when a release is prepared', body: '' }, 'body'),
}

const judgedCreate: RequestSpec = {
  ...create,
  target: '/v3/organizations/{org}/sessions',
  body: padded({ title: 'Upgrade the payment client', tags: ['payments', 'upgrade'], prompt: '' }, 'prompt'),
}

const cached: RequestSpec = {
  ...read,
  target: '/v3/organizations/{org}/sessions/insights?first=50',
  key: null,
  primed: true,
}
const denied: RequestSpec = { ...read, target: '/v3/organizations/{org}/secrets', status: 403, key: null }
const limited: RequestSpec = { ...read, tokens: 'limited', status: 429, key: null, primed: true }
const forged: RequestSpec = { ...read, tokens: 'forged', status: 401, key: null }

/** The rows, in the order of the tables. */
export const workloads: readonly Workload[] = [
  {
    id: 'cached',
    title: 'GET answered from the cache, 2 KiB',
    request: cached,
    reference: read,
    goals: { cpu: { bare: 0.4, haproxy: 0.65, 'haproxy-memo': 1.6 } },
  },
  {
    id: 'get',
    title: 'forwarded GET, 2 KiB answer',
    request: read,
    reference: read,
    goals: { cpu: { bare: 0.8, haproxy: 1, 'haproxy-memo': 2 }, throughput: 0.8 },
  },
  {
    id: 'post',
    title: 'forwarded POST, 1 KiB JSON',
    request: create,
    reference: create,
    goals: { cpu: { bare: 0.5, 'haproxy-memo': 2.2 } },
  },
  {
    id: 'post-judged',
    title: 'forwarded POST, 1 KiB JSON that the policy reads',
    request: judgedCreate,
    reference: judgedCreate,
    goals: { cpu: { bare: 0.5 } },
  },
  {
    id: 'get-64k',
    title: 'forwarded GET, 64 KiB answer',
    request: longRead,
    reference: longRead,
    goals: { cpu: { bare: 0.75, 'haproxy-memo': 2.4 } },
  },
  {
    id: 'denied',
    title: 'denied 403',
    request: denied,
    reference: read,
    goals: { cpu: { bare: 0.45, haproxy: 0.65, 'haproxy-memo': 2 } },
  },
  {
    id: 'limited',
    title: 'over the limit 429',
    request: limited,
    reference: read,
    goals: { cpu: { bare: 0.45, haproxy: 0.65, 'haproxy-memo': 2.3 } },
  },
  {
    id: 'bad-token',
    title: 'wrong signature 401',
    request: forged,
    reference: read,
    goals: { cpu: { bare: 1, haproxy: 1.6, 'haproxy-memo': 1.5 } },
  },
]

/** The request that fills the cache: each number is another answer of 2 KiB. */
export function cachedRequest(number: number): RequestSpec {
  return { ...cached, target: `${cached.target}&after=${number}` }
}

/** The request whose latency is measured at a fixed rate, and the added milliseconds that are wanted at most. */
export const pacedRequest: RequestSpec = read
/** Added milliseconds at most. */
export const pacedGoalsMs = { p50: 0.2, p99: 1.5 } as const

/** At most, from the process's start to readiness, and of memory (megabytes of a million bytes). */
export const footprintGoals = { readyMs: 700, loadedMb: 200, idleMb: 150 } as const

/** How many connections are opened and left idle. */
export const idleConnections = 10_000

/** The least ratio of forwarded reads a second of two workers to one process. */
export const workersGoal = 1.4

/** Path ending of the answers of 64 KiB; everything else is answered with 2 KiB. */
export const longAnswerEnding = '/attachments'
export const shortAnswerBytes = 2048
export const longAnswerBytes = 65_536

/** A JSON object of 1 KiB: the named member is filled up. */
function padded(value: Readonly<Record<string, unknown>>, member: string): string {
  const room = 1024 - JSON.stringify(value).length
  return JSON.stringify({ ...value, [member]: 'x'.repeat(room) })
}
