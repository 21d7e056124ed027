// A small SDK of the Devin API in the style of the public ones: it reads errors as they do, retries as they do, and knows
// nothing of a gateway but the base address and the token it was given.

import { randomUUID } from 'node:crypto'
import type { Incoming, Streamed, Wire } from './wires.ts'

export interface Page<T> {
  readonly items: readonly T[]
  readonly end_cursor: string | null
  readonly has_next_page: boolean
  readonly total?: number | null
}

export interface Self {
  readonly principal_type: string
  readonly org_id: string | null
}

export interface Session {
  readonly session_id: string
  readonly org_id: string
  readonly url: string
  readonly status: string
  readonly tags: readonly string[]
}

export interface Message {
  readonly event_id: string
  readonly source: 'devin' | 'user'
  readonly message: string
}

export interface Attachment {
  readonly attachment_id: string
  readonly name: string
  readonly url: string
}

export type Query = Readonly<Record<string, string | number | readonly string[]>>

export interface Call {
  readonly query?: Query
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is, of this media type. */
  readonly upload?: { readonly type: string; readonly body: Buffer | Streamed }
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer of 400 and above, with the text that the client shows to its user. */
export class ApiError extends Error {
  readonly answer: Incoming

  constructor(answer: Incoming) {
    super(messageOf(answer))
    this.answer = answer
  }

  get status(): number {
    return this.answer.status
  }
}

/** `detail` (a text, or a list whose first `msg` counts), then `message`, then `error`, then the bare text. */
export function messageOf({ fields, body }: Incoming): string {
  if (!/\bjson\b/.test(fields['content-type'] ?? '')) return body.toString()
  // What a server says about a failure is read defensively below.
  const { detail, message, error } = JSON.parse(body.toString()) as Record<string, unknown>
  const first: unknown = Array.isArray(detail) ? detail[0] : null
  if (typeof first === 'object' && first !== null && 'msg' in first) return String(first.msg)
  return [detail, message, error].find((text) => typeof text === 'string') ?? body.toString()
}

export interface SdkOptions {
  /** As operators write it: with or without a final slash. */
  readonly base: string
  readonly token: string
  readonly wire: Wire
  /** Default 0. */
  readonly retries?: number
  /** Sends each POST under a key of its own, and repeats it under that key; with one, a create may be repeated. */
  readonly idempotencyKeys?: boolean
}

export class Sdk {
  readonly #options: SdkOptions

  constructor(options: SdkOptions) {
    this.#options = options
  }

  /** The parsed body of an answer below 400; null when it has none. An SDK trusts the documented shape. */
  async call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const answer = await this.ask(method, path, call)
    if (answer.status >= 400) throw new ApiError(answer)
    return (answer.body.length === 0 ? null : JSON.parse(answer.body.toString())) as T
  }

  /** All items of a list, page by page. */
  async *all<T>(path: string, query: Query = {}): AsyncGenerator<T> {
    for (let after: string | null = null; ;) {
      const page: Page<T> = await this.call('GET', path, { query: after === null ? query : { ...query, after } })
      yield* page.items
      if (!page.has_next_page || page.end_cursor === null) return
      after = page.end_cursor
    }
  }

  /** The answer as it came, after the retries the method allows. */
  async ask(method: string, path: string, call: Call = {}): Promise<Incoming> {
    const { retries = 0, wire, idempotencyKeys = false } = this.#options
    const keyed = idempotencyKeys && method === 'POST'
    const key = { 'idempotency-key': `stainless-node-retry-${randomUUID()}` }
    const message = this.#message(method, keyed ? { ...call, headers: { ...key, ...call.headers } } : call)
    for (let left = retries; ; left--) {
      const answer = await wire(this.#address(path, call.query), { method, ...message })
      if (left <= 0 || !(keyed ? mayRepeatKeyed(answer) : mayRepeat(method, answer.status))) return answer
      await new Promise((resolve) => setTimeout(resolve, waitOf(answer) * 1000))
    }
  }

  #address(path: string, query: Query = {}): string {
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, String(one)]),
    )
    const text = new URLSearchParams(pairs).toString()
    return `${this.#options.base.replace(/\/+$/, '')}${path}${text === '' ? '' : `?${text}`}`
  }

  /** Many clients name a JSON type on every request, also on those without a body. */
  #message(
    method: string,
    { json, upload, headers }: Call,
  ): { headers: Record<string, string>; body?: string | Buffer | Streamed } {
    const body = upload?.body ?? (json === undefined ? undefined : JSON.stringify(json))
    return {
      headers: {
        authorization: `Bearer ${this.#options.token}`,
        'content-type': upload?.type ?? 'application/json',
        accept: 'application/json',
        ...(method === 'POST' && body === undefined ? { 'content-length': '0' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    }
  }
}

/** What was not processed may be repeated; what may have been, only where a second time changes nothing. */
function mayRepeat(method: string, status: number): boolean {
  return status === 429 || (status >= 500 && method !== 'POST' && method !== 'PATCH')
}

/** As the generated SDKs do: what the server says of it first, then conflicts, limits and failures. */
function mayRepeatKeyed({ status, fields }: Incoming): boolean {
  if (fields['x-should-retry'] !== undefined) return fields['x-should-retry'] === 'true'
  return status === 409 || status === 429 || status >= 500
}

/** Seconds to wait; a `Retry-After` that is no whole number stops the client, as it stops some of the public ones. */
function waitOf({ fields }: Incoming): number {
  const text = fields['retry-after']
  if (text === undefined) return 0.1
  if (!/^\d+$/.test(text)) throw new Error(`Retry-After is no number of seconds: ${text}`)
  return Number(text)
}
