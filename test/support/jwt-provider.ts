// `oidc-provider` set up as a company's single sign-on for services: access tokens as JWTs, by client credentials
// (RFC 6749 section 4.4) for an audience that is a URI (RFC 8707).

import type { JWK } from 'jose'
import { Provider } from 'oidc-provider'

export interface JwtProviderOptions {
  /** Its private keys; it signs with the first that fits RS256. */
  readonly keys: readonly JWK[]
  readonly clients: readonly { readonly id: string; readonly secret: string }[]
  /** Seconds that a token lives. */
  readonly lifetimeS: number
  readonly scope?: string
  /** What the directory says of a client, beside the standard claims. */
  readonly claimsOf: (client: string) => Readonly<Record<string, unknown>>
}

export function createJwtProvider(issuer: string, options: JwtProviderOptions): Provider {
  const { keys, clients, lifetimeS, scope = '', claimsOf } = options
  return new Provider(issuer, {
    jwks: { keys },
    cookies: { keys: ['no person ever signs in'] },
    clients: clients.map(({ id, secret }) => ({
      client_id: id,
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_: unknown, resource: string) => ({
          scope,
          audience: resource,
          accessTokenTTL: lifetimeS,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (_: unknown, { clientId }: { clientId: string }) => claimsOf(clientId),
  })
}
