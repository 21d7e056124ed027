// Remembers evaluations of repeated requests, as dashboards and pollers send them.

import type { CacheRequest } from '../cache/cache-request.ts'
import type { Principal } from '../identity/principal.ts'
import type { Evaluation } from '../policy/decision/evaluate.ts'
import type { Problem } from '../problems.ts'

/** Values derived from one evaluation and nothing else. */
export class DecisionMemo {
  /** Its refusal; undefined while not computed, null when allowed. */
  refusal: Problem | null | undefined = undefined
  /** Its decision record as JSON; null while it was not recorded. */
  record: string | null = null
  /** What the cache is asked, without the fields of the caller; null while not computed. */
  cacheRequest: Omit<CacheRequest, 'fields'> | null = null
  #afterBody: DecisionMemo | null = null

  /** The memo of the evaluation after reading a body that added no facts. */
  get afterBody(): DecisionMemo {
    return (this.#afterBody ??= new DecisionMemo())
  }
}

export interface Evaluated {
  readonly evaluation: Evaluation
  readonly memo: DecisionMemo
}

/** Requests that are remembered for each principal; a dashboard asks a few in turn. */
export const requestsOfCaller = 8
/** Characters of the longest target that is remembered: callers choose them, and few that come again are longer. */
export const longestTarget = 1024
/** Evaluations that are kept of all callers together. */
const mostKeptByDefault = 16_384

interface SeenRequest {
  readonly method: string
  readonly target: string
  /** Null after the first request: only repeated requests are kept. */
  evaluated: Evaluated | null
}

interface CallerMemory {
  readonly seen: SeenRequest[]
  /** Index of the one that is replaced next. */
  next: number
}

/** Belongs to one snapshot of the policies, forgets a principal with its token, and everybody when it is full. */
export class RepeatedRequests {
  readonly #mostKept: number
  #callers = new WeakMap<Principal, CallerMemory>()
  #kept = 0

  constructor(mostKept = mostKeptByDefault) {
    this.#mostKept = mostKept
  }

  /** The evaluation of this request before; null when it is not remembered. `target`: as it was received. */
  find(principal: Principal, method: string, target: string): Evaluated | null {
    const memory = this.#callers.get(principal)
    return memory === undefined ? null : (seenIn(memory, method, target)?.evaluated ?? null)
  }

  /** Remembers that a request came, and what it came to when it has come before. */
  note(principal: Principal, method: string, target: string, evaluated: Evaluated): void {
    if (target.length > longestTarget) return
    let memory = this.#callers.get(principal)
    if (memory === undefined) this.#callers.set(principal, (memory = { seen: [], next: 0 }))
    const request = seenIn(memory, method, target)
    if (request !== null) this.#keep(request, evaluated)
    else {
      memory.seen[memory.next] = { method, target, evaluated: null }
      memory.next = (memory.next + 1) % requestsOfCaller
    }
  }

  #keep(request: SeenRequest, evaluated: Evaluated): void {
    request.evaluated = evaluated
    this.#kept += 1
    if (this.#kept <= this.#mostKept) return
    this.#callers = new WeakMap()
    this.#kept = 0
  }
}

function seenIn({ seen }: CallerMemory, method: string, target: string): SeenRequest | null {
  for (const request of seen) if (request.target === target && request.method === method) return request
  return null
}
