// The single sign-on seen from outside: a real OpenID provider as a process, found by its metadata document, and the tokens
// that the company's apps fetch from it.

import { fileURLToPath } from 'node:url'
import { exportSPKI, importJWK, type JSONWebKeySet } from 'jose'
import { apps, audience, organizationOf, type App } from './company.ts'
import { accepts, startProcess, untilReady, type RunningProcess } from './processes.ts'

export interface Caller {
  readonly team: string
  readonly organization: string
  readonly token: string
  /** Of a team that may do next to nothing. */
  readonly limited: boolean
}

export interface Identity {
  readonly issuer: string
  /** The public key as PEM, for servers that read no key sets. */
  readonly publicKeyPem: string
  /** Twenty callers of five teams in turn, and as many of five limited teams. */
  readonly callers: readonly Caller[]
  readonly process: RunningProcess
}

const command = fileURLToPath(new URL('identity-provider.ts', import.meta.url))

/** Starts the provider on a loopback port and fetches a token for each app (RS256, 2048 bits, twelve hours). */
export async function startIdentity(port: number, core: number | null): Promise<Identity> {
  const program = startProcess(process.execPath, [command, String(port)], { core })
  await untilReady('the OpenID provider', program, () => accepts(port))
  const issuer = `http://127.0.0.1:${port}`
  try {
    // What OpenID Connect Discovery 1.0 and RFC 6749 say is in these answers.
    const metadata = (await fetchJson(`${issuer}/.well-known/openid-configuration`)) as Metadata
    const { keys } = (await fetchJson(metadata.jwks_uri)) as JSONWebKeySet
    const [key] = keys
    const publicKey = key === undefined ? null : await importJWK(key)
    if (publicKey === null || publicKey instanceof Uint8Array) throw new Error('the OpenID provider has no public key')
    return {
      issuer,
      publicKeyPem: await exportSPKI(publicKey),
      callers: await Promise.all(apps.map((app) => callerOf(app, metadata.token_endpoint))),
      process: program,
    }
  } catch (error) {
    await program.stop()
    throw error
  }
}

interface Metadata {
  readonly jwks_uri: string
  readonly token_endpoint: string
}

/** Fetches an app's token by client credentials (RFC 6749 section 4.4) for the gateway (RFC 8707). */
async function callerOf({ clientId, clientSecret, team, limited }: App, tokenEndpoint: string): Promise<Caller> {
  const { access_token: token } = (await fetchJson(tokenEndpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      resource: audience,
      scope: 'devin.read devin.write',
    }),
  })) as { access_token: string }
  return { team, organization: organizationOf(team), token, limited }
}

async function fetchJson(address: string, request?: RequestInit): Promise<unknown> {
  const response = await fetch(address, request)
  if (!response.ok) throw new Error(`${address} answered ${response.status}: ${await response.text()}`)
  return response.json()
}

/** The token with one character in the middle of its signature changed: well-formed, and wrong. */
export function forged(token: string): string {
  const place = token.lastIndexOf('.') + 100
  return token.slice(0, place) + (token[place] === 'A' ? 'B' : 'A') + token.slice(place + 1)
}
