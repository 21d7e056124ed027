// Does requests with an Idempotency-Key once: the first gets the claim, repetitions get the stored answer, and
// whatever could be a second create is refused. Knows neither sockets nor HTTP.

import { createHash, createHmac } from 'node:crypto'
import type { Problem } from '../problems.ts'
import { createSealing, type Sealing } from '../store/sealing.ts'
import { mostKeptBytes, openEntry, sealEntry, type IdempotencyEntry, type KeptAnswer } from './entry.ts'
import { NoRoom, type EntryStore, type Occupied } from './entry-store.ts'
import { inProgress, keyReused, keysUnavailable, outcomeUnclear } from './refusals.ts'

/** Whose key it is: keys of different owners have nothing to do with each other. */
export interface KeyOwner {
  readonly issuer: string
  readonly subject: string
  /** The team that was decided for, whose share of the memory the key takes; empty for none. */
  readonly team: string
  /** Empty for none. */
  readonly app: string
}

/** What a key stands for: two requests are the same when all of this is. */
export interface KeyedRequest {
  readonly caller: KeyOwner
  /** Never written down as it is. */
  readonly key: string
  readonly method: string
  /** Path and query, byte for byte. */
  readonly target: string
  /** The body as it was received. */
  readonly body: Buffer
}

/** The right to send a request, with the duty to report its end by exactly one of the three methods; none rejects. */
export interface Claim {
  /** It was done: every repetition gets this answer. */
  answered(answer: KeptAnswer): Promise<void>
  /** It may have been done; `status` of the answer where there was one. No repetition is sent. */
  unclear(status: number | null): Promise<void>
  /** It was certainly not done: the key is free again. */
  release(): Promise<void>
}

export type ClaimResult =
  | { readonly kind: 'first'; readonly claim: Claim }
  | { readonly kind: 'repeated'; readonly answer: KeptAnswer }

/** What happened to a key, for the metrics. */
export const idempotencyEvents = [
  'claimed',
  'kept',
  'freed',
  'lost',
  'replayed',
  'in_progress',
  'reused',
  'unclear',
  'unavailable',
] as const
export type IdempotencyEvent = (typeof idempotencyEvents)[number]

export type IdempotencyService = ReturnType<typeof createIdempotencyService>

export interface IdempotencyServiceOptions {
  readonly store: EntryStore
  /**
   * At least 32 bytes that the store does not have, the same for all instances that share it. What seals an entry is
   * made of this, the caller and the key, so that access to the store alone opens nothing.
   */
  readonly secret: Buffer
  /** How long a key is remembered, counted from the first request. */
  readonly keepMs: number
  /** Longest time from a claim to its end. After it the instance counts as gone, and the outcome is unclear. */
  readonly maxRunMs: number
  readonly onEvent: (event: IdempotencyEvent) => void
  /** Called after each claim: null when it succeeded, else why it could not be decided, for instance `NoRoom`. */
  readonly onAsked: (team: string, trouble: unknown) => void
}

/** State of one key while a request with it is decided. */
interface Place {
  readonly sealing: Sealing
  readonly name: string
  readonly fingerprint: string
  /** The entry that says that this request is under way. */
  readonly running: Buffer
}

export function createIdempotencyService({
  store,
  secret,
  keepMs,
  maxRunMs,
  onEvent,
  onAsked,
}: IdempotencyServiceOptions) {
  let underWay = 0
  let idle: (() => void)[] = []

  /**
   * Rejects with `idempotency-key-reused`, `idempotency-in-progress`, `idempotency-unclear`, or `idempotency-unavailable` when
   * the store cannot be asked: then nothing may be sent.
   */
  async function begin(request: KeyedRequest): Promise<ClaimResult> {
    const place = placeOf(request)
    underWay += 1
    try {
      const there = await claim(place, request.caller.team)
      if (there === null) {
        onEvent('claimed')
        underWay += 1
        return { kind: 'first', claim: claimOf(place) }
      }
      const entry = openEntry(place.sealing, place.name, there.value)
      if (entry === null) throw unavailable(request.caller.team, new Error('an entry of the store does not open'))
      return { kind: 'repeated', answer: answerOf(entry, there.ageMs, place.fingerprint) }
    } finally {
      end()
    }
  }

  function placeOf(request: KeyedRequest): Place {
    const { issuer, subject, team, app } = request.caller
    const whose = JSON.stringify([issuer, subject, team, app, request.key])
    const sealing = createSealing(createHmac('sha256', secret).update(whose).digest(), 'idempotency')
    const name = sealing.name()
    const fingerprint = fingerprintOf(request)
    const running = sealEntry(sealing, name, { state: 'running', fingerprint })
    return { sealing, name, fingerprint, running }
  }

  async function claim({ name, running }: Place, team: string): Promise<Occupied | null> {
    try {
      const there = await store.claim(name, team, running, keepMs)
      if (there === null) onAsked(team, null)
      return there
    } catch (error) {
      throw unavailable(team, error)
    }
  }

  function answerOf(entry: IdempotencyEntry, ageMs: number, fingerprint: string): KeptAnswer {
    if (entry.fingerprint !== fingerprint) {
      onEvent('reused')
      throw keyReused()
    }
    if (entry.state === 'answered') {
      onEvent('replayed')
      return entry.answer
    }
    if (entry.state === 'running' && ageMs < maxRunMs) {
      onEvent('in_progress')
      throw inProgress()
    }
    onEvent('unclear')
    throw outcomeUnclear(entry.state === 'running' ? null : entry.status)
  }

  function claimOf({ sealing, name, fingerprint, running }: Place): Claim {
    let over = false
    /** The caller's answer does not wait for a store that is away. */
    async function settle(write: () => Promise<void>): Promise<void> {
      if (over) return
      over = true
      try {
        await write()
        end()
      } catch {
        void repeat(write).then(end)
      }
    }
    async function unclear(status: number | null): Promise<void> {
      await store.replace(name, running, sealEntry(sealing, name, { state: 'unclear', fingerprint, status }))
      onEvent('lost')
    }
    return {
      async answered(answer) {
        if (answer.body.length > mostKeptBytes) return await settle(() => unclear(answer.status))
        const kept = sealEntry(sealing, name, { state: 'answered', fingerprint, answer })
        await settle(async () => {
          if (await store.replace(name, running, kept)) onEvent('kept')
          else await unclear(answer.status)
        })
      },
      unclear: (status) => settle(() => unclear(status)),
      release: () =>
        settle(async () => {
          await store.release(name, running)
          onEvent('freed')
        }),
    }
  }

  /** Retries until the store has it, however long that takes: no other instance knows how the create ended. */
  async function repeat(write: () => Promise<void>): Promise<void> {
    for (;;) {
      await store.retryWait()
      try {
        await write()
        return
      } catch {
        // The store says itself that it is away.
      }
    }
  }

  function end(): void {
    underWay -= 1
    if (underWay > 0) return
    for (const resolve of idle) resolve()
    idle = []
  }

  function unavailable(team: string, error: unknown): Problem {
    onEvent('unavailable')
    onAsked(team, error)
    return keysUnavailable(error instanceof NoRoom, error)
  }

  return {
    begin,
    /** Claims of this instance that have not ended. */
    get underWay(): number {
      return underWay
    },
    /** Resolves when there are none. */
    whenIdle: (): Promise<void> => (underWay === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
  }
}

function fingerprintOf({ method, target, body }: KeyedRequest): string {
  return createHash('sha256').update(`${method} ${target}\n`).update(body).digest('base64url')
}
