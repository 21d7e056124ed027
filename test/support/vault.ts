// A stand-in for HashiCorp Vault and OpenBao: an HTTP server with logins, tokens that end, KV version 2, namespaces and a seal,
// as their documentation describes the API. hvac, which knows nothing of us, drives it as well (test/keys/sources/vault.test.ts).

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { randomBytes } from 'node:crypto'
import type { ServerCertificate } from './certificates.ts'

interface Version {
  readonly data: Record<string, unknown> | null
  deletedAt: string
  destroyed: boolean
}

interface Kept {
  readonly versions: Version[]
  currentVersion: number
}

interface TokenState {
  readonly policies: ReadonlySet<string>
  readonly namespace: string
  endsAtMs: number
  readonly mostMs: number
  readonly renewable: boolean
  readonly periodMs: number
}

interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly raw?: string
}

export interface VaultOptions {
  /** How long tokens of a login last. */
  readonly ttlSeconds?: number
  /** No renewal lets a token last longer. */
  readonly mostSeconds?: number
  readonly tls?: ServerCertificate
  /** Where AppRole and Kubernetes are mounted. */
  readonly approleMount?: string
  readonly kubernetesMount?: string
}

export type StandInVault = Awaited<ReturnType<typeof startVault>>

const refusedToken = { status: 403, body: { errors: ['permission denied', 'invalid token'] } }
const forbidden = { status: 403, body: { errors: ['1 error occurred:\n\t* permission denied\n\n'] } }

/** Listens on a free port of loopback. Time is what `advance` says. */
export async function startVault(options: VaultOptions = {}) {
  const { ttlSeconds = 3600, mostSeconds = 7200, approleMount = 'approle', kubernetesMount = 'kubernetes' } = options
  const rootToken = `hvs.root-${randomBytes(12).toString('hex')}`
  const roleId = `role-${randomBytes(8).toString('hex')}`
  const secretId = `secret-${randomBytes(12).toString('hex')}`
  const serviceToken = `eyJhbGciOiJub25lIn0.${randomBytes(12).toString('hex')}.x`
  /** By namespace, then by path. */
  const kept = new Map<string, Map<string, Kept>>()
  const versionOne = new Map<string, Record<string, unknown>>()
  const tokens = new Map<string, TokenState>()
  const requests: { method: string; path: string; token: string | null }[] = []
  let nowMs = Date.parse('2026-11-29T12:00:00Z')
  let state: 'serving' | 'sealed' | 'standby' | 'silent' | 'overtaxed' = 'serving'
  let isReadingForbidden = false
  let isWritingForbidden = false
  let loginsRefused = 0
  /** A write of somebody else that comes between the next reading and its writing. */
  let interfere: (() => void) | null = null

  tokens.set(rootToken, {
    policies: new Set(['root']),
    namespace: '',
    endsAtMs: Infinity,
    mostMs: Infinity,
    renewable: false,
    periodMs: Infinity,
  })

  function issue(namespace: string, ttl: number, renewable = true): string {
    const token = `hvs.${randomBytes(18).toString('hex')}`
    tokens.set(token, {
      policies: new Set(['default', 'gateway']),
      namespace,
      endsAtMs: nowMs + ttl * 1000,
      mostMs: nowMs + mostSeconds * 1000,
      renewable,
      periodMs: ttl * 1000,
    })
    return token
  }

  function stateOf(token: string | null, namespace: string): TokenState | null {
    const found = token === null ? undefined : tokens.get(token)
    if (found === undefined || found.endsAtMs <= nowMs) return null
    // A token of the root lets into every namespace below it; one of a namespace into its own.
    return found.namespace === '' || found.namespace === namespace ? found : null
  }

  function auth(token: string): unknown {
    const found = tokens.get(token)
    return {
      client_token: token,
      accessor: 'accessor',
      policies: [...(found?.policies ?? [])],
      token_policies: [...(found?.policies ?? [])],
      metadata: {},
      lease_duration:
        found === undefined || found.endsAtMs === Infinity ? 0 : Math.round((found.endsAtMs - nowMs) / 1000),
      renewable: found?.renewable === true,
      entity_id: '',
      token_type: 'service',
      orphan: true,
    }
  }

  const ok = (body: object): Answer => ({
    status: 200,
    body: {
      request_id: randomBytes(8).toString('hex'),
      lease_id: '',
      renewable: false,
      lease_duration: 0,
      data: null,
      wrap_info: null,
      warnings: null,
      auth: null,
      ...body,
    },
  })

  function login(path: string, namespace: string, body: Record<string, unknown>): Answer | null {
    const isAppRole = path === `auth/${approleMount}/login`
    if (!isAppRole && path !== `auth/${kubernetesMount}/login`) return null
    const isRight = isAppRole
      ? body['role_id'] === roleId && body['secret_id'] === secretId
      : body['role'] === 'devin-gateway' && body['jwt'] === serviceToken
    if (!isRight) {
      loginsRefused += 1
      return isAppRole
        ? { status: 400, body: { errors: [`invalid role or secret ID: ${String(body['secret_id'])}`] } }
        : { status: 403, body: { errors: ['permission denied'] } }
    }
    return ok({ auth: auth(issue(namespace, ttlSeconds)) })
  }

  function ofToken(path: string, token: string, found: TokenState): Answer | null {
    if (path === 'auth/token/lookup-self')
      return ok({
        data: {
          id: token,
          ttl: found.endsAtMs === Infinity ? 0 : Math.round((found.endsAtMs - nowMs) / 1000),
          renewable: found.renewable,
          policies: [...found.policies],
          type: 'service',
          path: 'auth/token/create',
        },
      })
    if (path === 'auth/token/renew-self') {
      if (!found.renewable) return { status: 400, body: { errors: ['lease is not renewable'] } }
      found.endsAtMs = Math.min(nowMs + found.periodMs, found.mostMs)
      return ok({ auth: auth(token) })
    }
    if (path === 'auth/token/revoke-self') {
      tokens.delete(token)
      return { status: 204 }
    }
    return null
  }

  function metadataOf(secret: Kept, number: number): Record<string, unknown> {
    const version = secret.versions[number - 1]
    return {
      created_time: '2026-11-29T12:00:00Z',
      custom_metadata: null,
      deletion_time: version?.deletedAt ?? '',
      destroyed: version?.destroyed ?? false,
      version: number,
    }
  }

  function kv(method: string, path: string, query: URLSearchParams, namespace: string, text: string): Answer {
    const [mount = '', kind = '', ...rest] = path.split('/')
    const name = `${mount}/${rest.join('/')}`
    const ofNamespace = kept.get(namespace) ?? new Map<string, Kept>()
    kept.set(namespace, ofNamespace)
    if (mount === 'kv1') {
      if (method === 'POST' || method === 'PUT') {
        versionOne.set(path, JSON.parse(text) as Record<string, unknown>)
        return { status: 204 }
      }
      const found = versionOne.get(path)
      return found === undefined
        ? { status: 404, body: { errors: [] } }
        : ok({ data: found, lease_duration: 2_764_800 })
    }
    if (!['data', 'metadata', 'delete', 'undelete', 'destroy'].includes(kind))
      return {
        status: 404,
        body: {
          errors: [],
          warnings: [
            'Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use.',
          ],
        },
      }
    const secret = ofNamespace.get(name)
    if (kind === 'data' && (method === 'POST' || method === 'PUT')) {
      interfere?.()
      interfere = null
      return write(ofNamespace, name, text)
    }
    if (kind === 'data' && method === 'PATCH') return patch(ofNamespace, name, text)
    if (secret === undefined) return { status: 404, body: { errors: [] } }
    if (kind === 'data' && method === 'GET') return read(secret, Number(query.get('version') ?? 0))
    if (kind === 'data' && method === 'DELETE') {
      markDeleted(secret, [secret.currentVersion])
      return { status: 204 }
    }
    if (kind === 'metadata' && method === 'GET')
      return ok({
        data: {
          current_version: secret.currentVersion,
          oldest_version: 0,
          max_versions: 0,
          cas_required: false,
          versions: Object.fromEntries(secret.versions.map((_, index) => [index + 1, metadataOf(secret, index + 1)])),
        },
      })
    if (kind === 'metadata' && method === 'DELETE') {
      ofNamespace.delete(name)
      return { status: 204 }
    }
    const numbers = (JSON.parse(text) as { versions: number[] }).versions
    if (kind === 'delete') markDeleted(secret, numbers)
    for (const number of numbers) {
      const version = secret.versions[number - 1]
      if (version !== undefined && kind === 'undelete') version.deletedAt = ''
      if (version !== undefined && kind === 'destroy')
        secret.versions[number - 1] = { data: null, deletedAt: version.deletedAt, destroyed: true }
    }
    return { status: 204 }
  }

  function markDeleted(secret: Kept, numbers: readonly number[]): void {
    for (const number of numbers) {
      const version = secret.versions[number - 1]
      if (version !== undefined) version.deletedAt = new Date(nowMs).toISOString()
    }
  }

  function read(secret: Kept, asked: number): Answer {
    const number = asked === 0 ? secret.currentVersion : asked
    const version = secret.versions[number - 1]
    if (version === undefined) return { status: 404, body: { errors: [] } }
    const metadata = metadataOf(secret, number)
    if (version.destroyed || version.deletedAt !== '') return { ...ok({ data: { data: null, metadata } }), status: 404 }
    return ok({ data: { data: version.data, metadata } })
  }

  function write(ofNamespace: Map<string, Kept>, name: string, text: string): Answer {
    const { options: { cas } = {}, data } = JSON.parse(text, keepNumber) as {
      options?: { cas?: number }
      data?: Record<string, unknown>
    }
    if (data === undefined) return { status: 400, body: { errors: ['no data provided'] } }
    const secret = ofNamespace.get(name) ?? { versions: [], currentVersion: 0 }
    if (cas !== undefined && cas !== secret.currentVersion)
      return { status: 400, body: { errors: ['check-and-set parameter did not match the current version'] } }
    secret.versions.push({ data, deletedAt: '', destroyed: false })
    secret.currentVersion += 1
    ofNamespace.set(name, secret)
    return ok({ data: metadataOf(secret, secret.currentVersion) })
  }

  function patch(ofNamespace: Map<string, Kept>, name: string, text: string): Answer {
    const before = ofNamespace.get(name)
    if (before === undefined) return { status: 404, body: { errors: [] } }
    const { data, options: asked } = JSON.parse(text) as { data: Record<string, unknown>; options?: object }
    const current = before.versions[before.currentVersion - 1]?.data ?? {}
    return write(ofNamespace, name, JSON.stringify({ data: { ...current, ...data }, options: asked }))
  }

  function answer(request: IncomingMessage, text: string): Answer | null {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://vault')
    const path = decodeURIComponent(pathname).replace(/^\/v1\//, '')
    const method = request.method ?? 'GET'
    const namespace = String(request.headers['x-vault-namespace'] ?? '').replaceAll(/^\/|\/$/g, '')
    const token = request.headers['x-vault-token'] ?? null
    const given = typeof token === 'string' ? token : null
    requests.push({ method, path, token: given })
    if (state === 'silent') return null
    if (path === 'sys/seal-status')
      return {
        status: 200,
        body: { sealed: state === 'sealed', t: 1, n: 1, progress: 0, initialized: true, version: '1.19.0' },
      }
    if (path === 'sys/health')
      return {
        status: state === 'sealed' ? 503 : state === 'standby' ? 429 : 200,
        body: { initialized: true, sealed: state === 'sealed', standby: state === 'standby' },
      }
    if (path === 'sys/unseal') {
      state = 'serving'
      return { status: 200, body: { sealed: false, t: 1, n: 1, progress: 0, initialized: true } }
    }
    if (state === 'sealed') return { status: 503, body: { errors: ['Vault is sealed'] } }
    if (state === 'standby') return { status: 307, body: {}, raw: '' }
    if (state === 'overtaxed')
      return { status: 429, body: { errors: ['request path "kv/data/x": rate limit quota exceeded'] } }
    const body = method === 'GET' || text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
    const loggedIn = login(path, namespace, body)
    if (loggedIn !== null) return loggedIn
    if (path.startsWith('auth/') && path.endsWith('/login'))
      return { status: 404, body: { errors: ['no handler for route'] } }
    const found = stateOf(given, namespace)
    if (found === null || given === null) return refusedToken
    const aboutToken = ofToken(path, given, found)
    if (aboutToken !== null) return aboutToken
    if (path === 'sys/seal') {
      state = 'sealed'
      return { status: 204 }
    }
    if (path.startsWith('sys/internal/ui/mounts/')) {
      const mount = path.split('/')[4] ?? ''
      return ok({ data: { path: `${mount}/`, type: 'kv', options: mount === 'kv1' ? null : { version: '2' } } })
    }
    const isRead = method === 'GET'
    if (isRead ? isReadingForbidden : isWritingForbidden) return forbidden
    return kv(method, path, searchParams, namespace, text)
  }

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => (text += chunk))
    request.on('error', () => {})
    request.on('end', () => {
      const found = answer(request, text)
      // Silent: the connection stays open.
      if (found === null) return
      const headers: Record<string, string> = { 'content-type': 'application/json', 'cache-control': 'no-store' }
      if (found.status === 307) headers['location'] = 'https://active.vault.example/v1/elsewhere'
      response.writeHead(found.status, headers)
      response.end(found.body === undefined ? '' : (found.raw ?? JSON.stringify(found.body)))
    })
  }
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo

  return {
    address: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    rootToken,
    roleId,
    secretId,
    serviceToken,
    requests,
    get loginsRefused() {
      return loginsRefused
    },
    /** Tokens that let somebody in now, the root's excepted. */
    get liveTokens() {
      return [...tokens]
        .filter(([token, { endsAtMs }]) => token !== rootToken && endsAtMs > nowMs)
        .map(([token]) => token)
    },
    issue: (seconds: number, renewable = true) => issue('', seconds, renewable),
    be: (next: typeof state) => void (state = next),
    advance: (ms: number) => void (nowMs += ms),
    revoke: (token: string) => void tokens.delete(token),
    forbidReading: () => void (isReadingForbidden = true),
    forbidWriting: () => void (isWritingForbidden = true),
    interfereOnce: (work: () => void) => void (interfere = work),
    /** Keeps a new version of a secret: `kv/devin/a`. */
    keep(name: string, data: Record<string, unknown>, namespace = ''): void {
      const ofNamespace = kept.get(namespace) ?? new Map<string, Kept>()
      kept.set(namespace, ofNamespace)
      write(ofNamespace, name, JSON.stringify({ data }))
    },
    keepVersionOne: (path: string, data: Record<string, unknown>) => void versionOne.set(path, data),
    remove: (name: string, namespace = '') => void kept.get(namespace)?.delete(name),
    markDeleted(name: string): void {
      const secret = kept.get('')?.get(name)
      if (secret !== undefined) markDeleted(secret, [secret.currentVersion])
    },
    destroyVersion(name: string): void {
      const secret = kept.get('')?.get(name)
      if (secret !== undefined)
        secret.versions[secret.currentVersion - 1] = { data: null, deletedAt: '', destroyed: true }
    },
    /** The latest version, as text. */
    latest(name: string, namespace = ''): string {
      const secret = kept.get(namespace)?.get(name)
      return JSON.stringify(secret?.versions[secret.currentVersion - 1]?.data ?? null)
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Numbers that JavaScript would round stay as they were sent. */
function keepNumber(this: unknown, _: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' && String(value) !== context?.source
    ? Reflect.apply(Reflect.get(JSON, 'rawJSON') as (text: string) => unknown, JSON, [context?.source ?? '0'])
    : value
}
