// A request to the operators' listener and its answer, as the way in sees them: without a framework.

import type { IncomingHttpHeaders } from 'node:http'
import type { Problem } from '../../problems.ts'
import { hostFault } from './host.ts'

export interface AccessRequest {
  readonly method: string
  /** Path and query, as they were sent; of an absolute address the part behind the host. */
  readonly target: string
  /** Why it is refused whatever it asks for: it does not say clearly for which host it is. */
  readonly fault: Problem | null
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

/** As clients send a target to a proxy (RFC 9112 section 3.2.2). The router of Fastify passes over its host, too. */
const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/is

/** Of Node.js. */
interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly httpVersion: string
  readonly socket: { readonly remoteAddress?: string | undefined; readonly encrypted?: boolean }
}

export function accessRequestOf(request: NodeRequest): AccessRequest {
  const { method = '', url = '', headers, socket } = request
  const { encrypted = false, remoteAddress = '' } = socket
  const [, authority = null, rest = url] = absoluteForm.exec(url) ?? []
  return {
    method,
    target: rest === '' ? '/' : rest,
    fault: hostFault(request, authority),
    headers,
    encrypted,
    remoteAddress,
  }
}
