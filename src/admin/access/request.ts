// A request to the operators' listener and its answer, as the way in sees them: without a framework.

import type { IncomingHttpHeaders } from 'node:http'

export interface AccessRequest {
  readonly method: string
  /** Path and query, as they were sent. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly encrypted: boolean
  readonly remoteAddress: string
}

export interface AccessAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: string
}

/** The path of a request as it was sent, without its query. */
export function askedPath({ target }: Pick<AccessRequest, 'target'>): string {
  return target.split('?', 1)[0] ?? ''
}

/** Of Node.js. */
interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly socket: { readonly remoteAddress?: string | undefined; readonly encrypted?: boolean }
}

export function accessRequestOf({ method = '', url = '', headers, socket }: NodeRequest): AccessRequest {
  const { encrypted = false, remoteAddress = '' } = socket
  return { method, target: url, headers, encrypted, remoteAddress }
}
