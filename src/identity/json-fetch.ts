// Fetches a small JSON document from an identity provider. Knows nothing of its meaning; key-source.ts does.

import { Agent, request, type Dispatcher } from 'undici'
import { isLoopback } from '../config/values/addresses.ts'

/** A key set of a hundred RSA keys is about 50 KiB; more than this is not a key set. */
const maxBytes = 1024 * 1024

/** Why a document could not be had, in words fit for a log: no content of the answer, no credentials of an address. */
export class FetchFailed extends Error {
  override readonly name = 'FetchFailed'
  /** Whether a server answered and said no, so that another address on it may be worth a try. */
  readonly answered: boolean

  constructor(message: string, answered: boolean) {
    super(message)
    this.answered = answered
  }
}

export interface JsonFetchOptions {
  readonly timeoutMs: number
  /** Ends the fetch early, when the process closes. */
  readonly signal: AbortSignal
}

/**
 * The parsed document at an address: one GET over a fresh connection with TLS verified, no redirects, at most 1 MiB.
 * Throws FetchFailed, and nothing else.
 */
export async function fetchJson(url: URL, options: JsonFetchOptions): Promise<unknown> {
  checkAddress(url)
  const { timeoutMs } = options
  // Named here so that NODE_TLS_REJECT_UNAUTHORIZED cannot switch it off: these keys decide who is let in.
  const agent = new Agent({ connect: { rejectUnauthorized: true } })
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const response = await request(url, {
      dispatcher: agent,
      signal: AbortSignal.any([timeout, options.signal]),
      headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'devin-gateway' },
    })
    return parseJson(await readBody(response))
  } catch (error) {
    const answered = error instanceof FetchFailed
    const why = answered ? error.message : timeout.aborted ? `no answer within ${timeoutMs} ms` : connectionFault(error)
    throw new FetchFailed(`GET ${url.origin}${url.pathname}: ${why}`, answered)
  } finally {
    await agent.destroy()
  }
}

/** Plain http would let anybody on the way choose who is let in, so it is for loopback alone. */
export function isTrustworthyAddress(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))
}

function checkAddress(url: URL): void {
  const place = `${url.protocol}//${url.host}${url.pathname}`
  if (!isTrustworthyAddress(url)) {
    throw new FetchFailed(`${place}: only https is fetched, and http from this machine alone`, false)
  }
  if (url.username !== '' || url.password !== '') {
    throw new FetchFailed(`${place}: the address must not hold credentials`, false)
  }
}

async function readBody(response: Dispatcher.ResponseData): Promise<Buffer> {
  const { statusCode, body } = response
  if (statusCode >= 300 && statusCode < 400) {
    throw new FetchFailed(`answered ${statusCode}, and redirects are not followed`, true)
  }
  if (statusCode !== 200) throw new FetchFailed(`answered ${statusCode}`, true)
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    // A body stream without encoding yields Buffers; its type says `any`.
    const buffer = chunk as Buffer
    bytes += buffer.length
    if (bytes > maxBytes) throw new FetchFailed(`answered more than ${maxBytes} bytes`, true)
    chunks.push(buffer)
  }
  return Buffer.concat(chunks)
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw new FetchFailed('the answer is not JSON', true)
  }
}

/** The code of a network error; its message may hold addresses that are nobody's business. */
function connectionFault(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  return `connection failed (${code})`
}
