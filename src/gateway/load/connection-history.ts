// What is known of the caller behind a connection, and which client address its requests count for.

import type { IncomingMessage } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import { isIP, type Socket } from 'node:net'
import { clientOf } from '../../http/client-address.ts'
import { sessionOf } from '../listener/http-versions.ts'

/** Of one connection; of one request where a proxy sends those of many callers. */
export interface ConnectionHistory {
  readonly address: string
  /** Many callers share the connection. */
  readonly isProxy: boolean
  /** Requests without a valid token since the last one with one. */
  failuresInRow: number
  wasVerified: boolean
}

export class ConnectionHistories {
  readonly #of = new WeakMap<Socket | ServerHttp2Session, ConnectionHistory>()
  readonly #isProxy: (address: string) => boolean

  constructor(isProxy: (address: string) => boolean) {
    this.#isProxy = isProxy
  }

  of(request: IncomingMessage): ConnectionHistory {
    const connection = sessionOf(request) ?? request.socket
    const known = this.#of.get(connection)
    if (known !== undefined) return known.isProxy ? this.#behindProxy(request, known) : known
    const { remoteAddress = '' } = request.socket
    const isProxy = this.#isProxy(remoteAddress)
    const history = { address: clientOf(remoteAddress), isProxy, failuresInRow: 0, wasVerified: false }
    this.#of.set(connection, history)
    return isProxy ? this.#behindProxy(request, history) : history
  }

  /** Proxies append the address that they see, so the last one that is no proxy is the caller's. */
  #behindProxy(request: IncomingMessage, ofProxy: ConnectionHistory): ConnectionHistory {
    const hops = String(request.headers['x-forwarded-for'] ?? '').split(',')
    for (let hop = hops.pop(); hop !== undefined; hop = hops.pop()) {
      const address = plainAddress(hop.trim())
      if (isIP(address) === 0) break
      if (!this.#isProxy(address)) return { ...ofProxy, address: clientOf(address) }
    }
    return { ...ofProxy }
  }
}

/** Some proxies write a port behind the address, and IPv6 in brackets. */
function plainAddress(hop: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop
}
