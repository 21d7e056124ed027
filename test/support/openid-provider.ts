// A real OpenID provider (`oidc-provider`) that issues access tokens for the gateway and can rotate its keys, go away
// and come back. Its metadata tell where its keys are.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Provider } from 'oidc-provider'
import { freePort } from './free-ports.ts'
import { createJwtProvider } from './jwt-provider.ts'

export interface OpenIdProvider {
  readonly issuer: string
  /** Paths that were asked for, in order. */
  readonly requests: string[]
  /** An access token by client credentials (RFC 6749 section 4.4) for an audience that is a URI (RFC 8707). */
  token(client?: string, audience?: string): Promise<string>
  /** Makes a new signing key; the old one stays published unless it is withdrawn. */
  rotate(options?: { readonly withdraw?: boolean }): Promise<void>
  stop(): Promise<void>
  restart(): Promise<void>
}

/** What the gateway's configuration has to name as the audience of this provider. */
export const openIdAudience = 'https://gateway.corp.example'

/** Groups of each client of the provider. */
const clients: Readonly<Record<string, readonly string[]>> = {
  'payments-service': ['sso-payments-eng'],
  'nobodys-service': ['sso-canteen', 'sso-parking'],
}

export async function startOpenIdProvider(): Promise<OpenIdProvider> {
  const requests: string[] = []
  let keys: JWK[] = []
  let handle: ReturnType<Provider['callback']> | null = null
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    if (handle !== null) void handle(request, response)
  })
  const listen = (port: number) => new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  // It can stop and come back at its port, which nobody may take in the meantime.
  await listen(await freePort())
  // A server that listens on TCP has an AddressInfo.
  const { port } = server.address() as AddressInfo
  const issuer = `http://127.0.0.1:${port}`
  const rotate: OpenIdProvider['rotate'] = async ({ withdraw = true } = {}) => {
    // It signs with the first key that fits.
    keys = [await makeSigningKey(), ...(withdraw ? [] : keys)]
    handle = createProvider(issuer, keys).callback()
  }
  await rotate()
  return {
    issuer,
    requests,
    async token(client = 'payments-service', audience = openIdAudience) {
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${client}:only-for-tests`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
      })
      const answer: unknown = await response.json()
      if (typeof answer === 'object' && answer !== null && 'access_token' in answer) return String(answer.access_token)
      throw new Error(`no token: ${JSON.stringify(answer)}`)
    },
    rotate,
    async stop() {
      if (!server.listening) return
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
    restart: () => listen(port),
  }
}

let made = 0

async function makeSigningKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  made += 1
  return { ...(await exportJWK(privateKey)), kid: `provider-key-${made}`, alg: 'RS256', use: 'sig' }
}

function createProvider(issuer: string, keys: readonly JWK[]): Provider {
  return createJwtProvider(issuer, {
    keys,
    clients: Object.keys(clients).map((id) => ({ id, secret: 'only-for-tests' })),
    lifetimeS: 600,
    claimsOf: (client) => ({ groups: clients[client], email: `${client}@corp.example` }),
  })
}
