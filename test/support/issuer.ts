// A controllable identity provider for the suites: metadata, key set and tokens over a real socket. It can rotate its
// keys, go away, come back, hang, and answer any of its paths with something else.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose'
import { freePort } from './free-ports.ts'

export interface IssuerOptions {
  /** 0, the default, takes any free port. */
  readonly port?: number
  /** Of the first key and of those that follow; default ES256, because its keys are made quickly. */
  readonly algorithm?: string
}

export interface SignOptions {
  /** Joined to or replacing `{ alg, kid, typ: 'at+jwt' }`; `undefined` leaves a parameter out. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Signs with this instead of the issuer's current key. */
  readonly key?: CryptoKey | Uint8Array
  /** Seconds between `iat` and `exp`; default 300. */
  readonly lifetimeS?: number
}

export interface Issuer {
  /** Exact value of `iss`. */
  readonly issuer: string
  readonly jwksUri: string
  /** Paths that were asked for, in order; empty it at will. */
  readonly requests: string[]
  /** Key id of the key that signs now. */
  readonly kid: string
  /** A token; `claims` join or replace `iss`, `sub`, `aud: 'devin-gateway'`, `iat`, `exp`; `undefined` leaves one out. */
  sign(claims?: Readonly<Record<string, unknown>>, options?: SignOptions): Promise<string>
  /** Makes a new signing key. The old ones stay published unless they are withdrawn. */
  rotate(options?: { readonly withdraw?: boolean }): Promise<void>
  /** Publishes one more key as it is. */
  publish(jwk: JWK): void
  /** Answers a path by hand; null goes back to normal. */
  respond(path: string, handler: ((request: IncomingMessage, response: ServerResponse) => void) | null): void
  /** Accepts connections and answers nothing, until `resume`. */
  hang(): void
  resume(): void
  /** Closes the port and all connections. */
  stop(): Promise<void>
  /** Listens again on the same port with the same keys. */
  restart(): Promise<void>
}

/** Starts an issuer on 127.0.0.1. */
export async function startIssuer(options: IssuerOptions = {}): Promise<Issuer> {
  const algorithm = options.algorithm ?? 'ES256'
  const published: JWK[] = []
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const handlers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>()
  let hanging = false
  let count = 0
  let signing = await makeKey()

  async function makeKey(): Promise<{ kid: string; privateKey: CryptoKey }> {
    const { publicKey, privateKey } = await generateKeyPair(algorithm)
    count += 1
    const kid = `key-${count}`
    published.push({ ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' })
    return { kid, privateKey }
  }

  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    if (hanging) return
    const handler = handlers.get(path)
    if (handler !== undefined) return handler(request, response)
    if (path === '/jwks') return sendJson(response, { keys: published })
    if (path === '/.well-known/openid-configuration') return sendJson(response, { issuer, jwks_uri: jwksUri })
    response.writeHead(404).end()
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })

  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        resolve()
      })
    })
  // It can stop and come back at its port, which nobody may take in the meantime.
  await listen(options.port ?? (await freePort()))
  // A server that listens on TCP has an AddressInfo.
  const { port } = server.address() as AddressInfo
  const issuer = `http://127.0.0.1:${port}`
  const jwksUri = `${issuer}/jwks`

  return {
    issuer,
    jwksUri,
    requests,
    get kid() {
      return signing.kid
    },
    sign(claims = {}, signOptions = {}) {
      const nowS = Math.floor(Date.now() / 1000)
      const iat = typeof claims['iat'] === 'number' ? claims['iat'] : nowS
      const exp = iat + (signOptions.lifetimeS ?? 300)
      const standard = { iss: issuer, sub: 'user-1', aud: 'devin-gateway', iat, exp }
      const header = { alg: algorithm, kid: signing.kid, typ: 'at+jwt', ...signOptions.header }
      return new SignJWT({ ...standard, ...claims })
        .setProtectedHeader(header)
        .sign(signOptions.key ?? signing.privateKey)
    },
    async rotate({ withdraw = false } = {}) {
      if (withdraw) published.length = 0
      signing = await makeKey()
    },
    publish(jwk) {
      published.push(jwk)
    },
    respond(path, handler) {
      if (handler === null) handlers.delete(path)
      else handlers.set(path, handler)
    },
    hang() {
      hanging = true
    },
    resume() {
      hanging = false
    },
    async stop() {
      if (!server.listening) return
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
    restart: () => listen(port),
  }
}

/** Answers with a JSON document. */
export function sendJson(response: ServerResponse, document: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document))
}
