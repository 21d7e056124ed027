// Servers of the clouds' protocols on loopback: a proxy that can fail in front of a server, and recorded exchanges of documentations.

import { createServer, request as ask, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo } from 'node:net'
import type { ServerCertificate } from './certificates.ts'

export interface CloudRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface CloudAnswer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Answers by a function; null: no answer at all. A promise of null, and the request goes on to `behind`. */
export interface CloudServer {
  readonly port: number
  readonly requests: CloudRequest[]
  close(): Promise<void>
}

/** `answer`: `silent` gives no answer; `pass` hands the request on to the port `behind`. */
export async function startCloud(
  answer: (request: CloudRequest) => CloudAnswer | 'silent' | 'pass',
  { tls, behind }: { readonly tls?: ServerCertificate; readonly behind?: number } = {},
): Promise<CloudServer> {
  const requests: CloudRequest[] = []
  const listener: RequestListener = (incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('error', () => {})
    incoming.on('end', () => {
      const body = Buffer.concat(chunks)
      const { method = 'GET', url = '/', headers } = incoming
      const request = { method, path: url, headers, body: body.toString('utf8') }
      requests.push(request)
      const found = answer(request)
      if (found === 'silent') return
      if (found === 'pass') {
        const onward = ask({ host: '127.0.0.1', port: behind, method, path: url, headers }, (answered) => {
          response.writeHead(answered.statusCode ?? 502, answered.headers)
          answered.pipe(response)
        })
        onward.on('error', () => response.destroy())
        onward.end(body)
        return
      }
      response.writeHead(found.status, { 'content-type': 'application/json', ...found.headers })
      response.end(JSON.stringify(found.body))
    })
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
