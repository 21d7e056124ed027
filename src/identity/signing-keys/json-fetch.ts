// Fetches a small JSON document from an issuer. Knows nothing of its meaning.

import { Agent, request, type Dispatcher } from 'undici'
import { isLoopback } from '../../config/values/addresses.ts'
import { clockSkewMs, freshForMs } from './lifetime.ts'

/** A key set of a hundred RSA keys is about 50 KiB; reading more would hold up everybody else. */
const maxBytes = 512 * 1024

/** Why a document could not be fetched, safe for logs: no content of the answer, no credentials of an address. */
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
  /** Ends the fetch; a slow answer is cut off by it, too. */
  readonly deadline: AbortSignal
  /** For the text of the error. */
  readonly timeoutMs: number
  /** PEM text of the only certificate authorities to trust, or null for the system's. */
  readonly ca: string | null
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

export interface FetchedJson {
  readonly document: unknown
  /** How long it stays fresh, or null where the answer does not say. */
  readonly freshForMs: number | null
  /** How far the clock of who answered is ahead; null where the answer has no date. */
  readonly clockSkewMs: number | null
}

/**
 * The parsed document at an address: one GET over a fresh connection with TLS verified, no redirects, at most 512 KiB.
 * Throws FetchFailed, and nothing else.
 */
export async function fetchJson(url: URL, options: JsonFetchOptions): Promise<FetchedJson> {
  checkAddress(url)
  const { deadline, timeoutMs, ca, now } = options
  // Named here so that NODE_TLS_REJECT_UNAUTHORIZED cannot switch it off: these keys decide who is let in.
  const agent = new Agent({ connect: { rejectUnauthorized: true, ...(ca === null ? {} : { ca }) } })
  try {
    const response = await request(url, {
      dispatcher: agent,
      signal: deadline,
      headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'devin-gateway' },
    })
    const nowMs = now()
    const { headers } = response
    const document = parseJson(await readBody(response))
    return { document, freshForMs: freshForMs(headers, nowMs), clockSkewMs: clockSkewMs(headers, nowMs) }
  } catch (error) {
    const answered = error instanceof FetchFailed
    const why = answered
      ? error.message
      : deadline.aborted
        ? `no answer within ${timeoutMs} ms`
        : connectionFault(error)
    throw new FetchFailed(`GET ${url.origin}${url.pathname}: ${why}`, answered)
  } finally {
    await agent.destroy()
  }
}

/** Plain http would let anybody on the network choose who is let in, so it is for loopback only. */
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
