// A single sign-on of the bench's own: an RSA key, its key set on a loopback port, and tokens as long as real ones.

import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'

export interface Caller {
  readonly team: string
  readonly organization: string
  readonly token: string
  /** Of a team that may do next to nothing. */
  readonly limited: boolean
}

export interface Identity {
  readonly issuer: string
  readonly jwksUri: string
  /** The public key as PEM, for servers that read no key sets. */
  readonly publicKeyPem: string
  /** Twenty callers of five teams in turn, and as many of five limited teams. */
  readonly callers: readonly Caller[]
  close(): Promise<void>
}

export const issuerName = 'https://sso.corp.example'
export const audience = 'devin-gateway'

export interface Teams {
  readonly usual: readonly string[]
  readonly limited: readonly string[]
}

/** Starts the key set's server and signs the tokens (RS256, 2048 bits). */
export async function startIdentity(teams: Teams): Promise<Identity> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: 2048 })
  const kid = 'bench-2026-1'
  const keySet = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' }] })
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(keySet)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  const nowS = Math.floor(Date.now() / 1000)
  const makeCaller = async (team: string, number: number, limited: boolean): Promise<Caller> => {
    const token = await new SignJWT(claimsOf(team, number))
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'at+jwt' })
      .setIssuer(issuerName)
      .setAudience(audience)
      .setSubject(`00u${randomBytes(8).toString('hex')}`)
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + 12 * 3600)
      .setJti(randomBytes(16).toString('hex'))
      .sign(privateKey)
    return { team, organization: organizationOf(team), token, limited }
  }
  const numbers = Array.from({ length: 20 }, (_, number) => number)
  const callers = await Promise.all([
    ...numbers.map((number) => makeCaller(teams.usual[number % 5] ?? '', number, false)),
    ...numbers.map((number) => makeCaller(teams.limited[number % 5] ?? '', number, true)),
  ])
  return {
    issuer: issuerName,
    jwksUri: `http://127.0.0.1:${port}/jwks`,
    publicKeyPem: await exportSPKI(publicKey),
    callers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** The token with one character in the middle of its signature changed: well-formed, and wrong. */
export function forged(token: string): string {
  const place = token.lastIndexOf('.') + 100
  return token.slice(0, place) + (token[place] === 'A' ? 'B' : 'A') + token.slice(place + 1)
}

/** The organization of a team. */
export function organizationOf(team: string): string {
  return `org-${team}`
}

/** The group whose members are a team. */
export function groupOf(team: string): string {
  return `sso-${team}-eng`
}

function claimsOf(team: string, number: number): Record<string, unknown> {
  return {
    email: `engineer.${number}@corp.example`,
    azp: number % 4 === 0 ? `${team}-bot` : 'devin-cli',
    groups: ['all-employees', groupOf(team), 'vpn-users'],
    // For servers that can compare one value, not search a list.
    team,
    name: `Engineer Number ${number}`,
    scope: 'openid profile email groups',
    sid: randomBytes(12).toString('hex'),
  }
}
