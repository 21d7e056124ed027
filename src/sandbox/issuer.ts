// The sandbox's SSO: signing keys that outlive a restart, tokens, and the issuer's metadata and key set over HTTP.
// For trying the gateway on one machine; never configure it as an issuer anywhere else.

import { readFile, rename, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, importJWK, SignJWT, type JWK } from 'jose'
import type { IssuerConfig } from '../config/issuer-schema.ts'
import { sandboxIssuer } from './configuration.ts'

const usualIssuer = {
  issuer: sandboxIssuer,
  audience: ['devin-gateway'],
  claims: { subject: 'sub', email: 'email', groups: 'groups', app: 'azp' },
}

/** Private keys, newest first. The first one signs; the second one still verifies. */
interface KeyFile {
  readonly keys: readonly JWK[]
}

export interface SandboxClaims {
  readonly sub: string
  readonly email: string
  readonly groups: readonly string[]
  readonly app: string | null
  /** Who acts for the subject; null or absent for nobody. */
  readonly actor?: string | null
  readonly ttlSeconds: number
  /** In whose name the token speaks; by default the sandbox issuer's. */
  readonly issuer?: Pick<IssuerConfig, 'issuer' | 'audience' | 'claims'> | undefined
  /** Claims by name, in place of all others. */
  readonly others?: Readonly<Record<string, unknown>> | undefined
}

/** A token of the sandbox issuer, signed with its newest key. */
export async function signSandboxToken(directory: string, claims: SandboxClaims, nowMs: number): Promise<string> {
  const [key] = (await loadKeys(directory)).keys
  if (key === undefined) throw new Error('the sandbox has no signing key')
  const issuedAt = Math.floor(nowMs / 1000)
  const { issuer, audience, claims: names } = claims.issuer ?? usualIssuer
  return await new SignJWT({
    // A claim that is named by a whole path counts as the claim at this path.
    ...(claims.app === null ? {} : { [names.app]: claims.app }),
    ...(claims.actor === undefined || claims.actor === null ? {} : { act: { sub: claims.actor } }),
    [names.groups]: claims.groups,
    [names.email]: claims.email,
    email_verified: true,
    [names.subject]: claims.sub,
    ...claims.others,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: String(key.kid) })
    .setIssuer(issuer)
    .setAudience([...audience])
    .setSubject(typeof claims.others?.['sub'] === 'string' ? claims.others['sub'] : claims.sub)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + claims.ttlSeconds)
    .sign(await importJWK(key, 'ES256'))
}

/** Puts a new key in front; tokens of the one before stay valid, older ones do not. */
async function rotateSandboxKeys(directory: string): Promise<void> {
  const { keys } = await loadKeys(directory)
  await saveKeys(directory, { keys: [await createKey(), ...keys.slice(0, 1)] })
}

export interface SandboxIssuer {
  readonly origin: string
  readonly jwksUri: string
  close(): Promise<void>
}

/** Serves metadata, key set and `POST /rotate` on a loopback port. */
export async function createSandboxIssuer(directory: string): Promise<SandboxIssuer> {
  await loadKeys(directory)
  const server = createServer((request, response) => {
    void respond(directory, request.method ?? '', request.url ?? '', originOf(server), response).catch(() => {
      response.writeHead(500).end()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const origin = originOf(server)
  return {
    origin,
    jwksUri: `${origin}/jwks`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function originOf(server: Server): string {
  const address = server.address()
  return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : ''
}

async function respond(
  directory: string,
  method: string,
  url: string,
  origin: string,
  response: ServerResponse,
): Promise<void> {
  if (method === 'GET' && url === '/jwks') {
    const { keys } = await loadKeys(directory)
    json(response, { keys: keys.map(publicPart) })
  } else if (
    method === 'GET' &&
    (url === '/.well-known/openid-configuration' || url === '/.well-known/oauth-authorization-server')
  ) {
    json(response, {
      issuer: sandboxIssuer,
      jwks_uri: `${origin}/jwks`,
      id_token_signing_alg_values_supported: ['ES256'],
    })
  } else if (method === 'POST' && url === '/rotate') {
    await rotateSandboxKeys(directory)
    json(response, { rotated: true })
  } else {
    response.writeHead(404).end()
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

function publicPart({ kty, crv, x, y, kid }: JWK): JWK {
  return { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' } as JWK
}

async function loadKeys(directory: string): Promise<KeyFile> {
  const file = join(directory, 'issuer-keys.json')
  const text = await readFile(file, 'utf8').catch(() => null)
  // Written by saveKeys below; anything else fails where a key is imported.
  if (text !== null) return JSON.parse(text) as KeyFile
  await saveKeys(directory, { keys: [await createKey()] })
  return await loadKeys(directory)
}

async function saveKeys(directory: string, file: KeyFile): Promise<void> {
  const draft = join(directory, `issuer-keys.${process.pid}.draft`)
  await writeFile(draft, JSON.stringify(file), { mode: 0o600 })
  await rename(draft, join(directory, 'issuer-keys.json'))
}

async function createKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(privateKey)
  return { ...jwk, kid: `sandbox-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}` }
}
