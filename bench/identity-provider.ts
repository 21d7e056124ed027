// The company's single sign-on, a process of its own: `oidc-provider`, which gives the apps access tokens as JWTs by client
// credentials. Its key is made at its start. node bench/identity-provider.ts PORT

import { createServer } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { createJwtProvider } from '../test/support/jwt-provider.ts'
import { apps, groupOf } from './company.ts'

const port = Number(process.argv[2])
const issuer = `http://127.0.0.1:${port}`

const { privateKey } = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true })
const key = { ...(await exportJWK(privateKey)), kid: 'sso-2026-1', alg: 'RS256', use: 'sig' }

const provider = createJwtProvider(issuer, {
  keys: [key],
  clients: apps.map(({ clientId, clientSecret }) => ({ id: clientId, secret: clientSecret })),
  lifetimeS: 12 * 3600,
  scope: 'devin.read devin.write',
  claimsOf,
})

/** What the directory says of an app; with it a token is as long as real ones. */
function claimsOf(clientId: string): Record<string, unknown> {
  const team = apps.find((app) => app.clientId === clientId)?.team ?? ''
  return {
    email: `${clientId}@services.corp.example`,
    name: `Service account of ${clientId}`,
    groups: ['all-services', groupOf(team), 'vpn-services'],
    // For servers that can compare one value, not search a list.
    team,
  }
}

const handle = provider.callback()
createServer((request, response) => void handle(request, response)).listen(port, '127.0.0.1')
