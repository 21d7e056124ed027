// API keys of service users at Devin: who a value is, which keys there are, a new one, one less.

import { devinTimeMs } from '../identity/account.ts'
import { memberOf } from '../../json/untyped.ts'
import type { Secret } from '../secret.ts'

/** Who a value is at Devin. */
export interface DevinIdentity {
  readonly serviceUser: string
  readonly name: string
  /** Null for an enterprise service user. */
  readonly organization: string | null
}

/** An API key of a service user, without its value. */
export interface DevinKey {
  readonly id: string
  readonly name: string
  /** Milliseconds since the epoch, by Devin's clock. */
  readonly createdAtMs: number
  readonly lastUsedAtMs: number | null
  readonly expiresAtMs: number | null
}

export interface DevinAnswer {
  readonly status: number
  /** How long Devin asks to wait, after a 429. */
  readonly waitMs: number
  readonly body: Buffer
}

export interface DevinRequest {
  readonly operation: string
  readonly parameters: Readonly<Record<string, string>>
  readonly query?: string
  readonly body?: Readonly<Record<string, unknown>>
}

/** Sends one request with the value of a key. Rejects when there is no whole answer. */
export type AskDevin = (request: DevinRequest, value: Secret, signal: AbortSignal) => Promise<DevinAnswer>

/**
 * `rejected`: 401. `denied`: 403. `absent`: 404. `inactive`: 409. `throttled`: 429. `unavailable`: no answer, or a 5xx: what was
 * asked for may be done. `unreadable`: an answer in another form than the API reference says.
 */
export type DevinFaultKind = 'rejected' | 'denied' | 'absent' | 'inactive' | 'throttled' | 'unavailable' | 'unreadable'

/** Why Devin did not do what was asked. The message holds no part of any value. */
export class DevinFault extends Error {
  override readonly name = 'DevinFault'
  readonly kind: DevinFaultKind
  readonly waitMs: number

  constructor(kind: DevinFaultKind, message: string, waitMs = 0, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
    this.waitMs = waitMs
  }
}

export interface DevinKeys {
  /** Who a value is. Rejects with `DevinFault`, as all of these do. */
  self(value: Secret, signal: AbortSignal): Promise<DevinIdentity>
  /** All active keys of a service user. */
  active(serviceUser: string, signal: AbortSignal): Promise<readonly DevinKey[]>
  /** A new key; its value is given this once. */
  create(
    serviceUser: string,
    name: string,
    expiresAtMs: number | null,
    signal: AbortSignal,
  ): Promise<{ readonly id: string; readonly value: string }>
  /** Resolves also when the key was not active any more. */
  revoke(serviceUser: string, id: string, signal: AbortSignal): Promise<void>
}

const apiKeys = 'beta.ent.service-users.api-keys'

/** The operations that a rotating key has to be allowed. */
export const rotationOperations = [`${apiKeys}.list`, `${apiKeys}.create`, `${apiKeys}.revoke`] as const

/** `rotating` gives the value that manages keys: asked at each call, because it may change itself. It may throw a `DevinFault`. */
export function createDevinKeys(ask: AskDevin, rotating: () => Secret): DevinKeys {
  async function send(request: DevinRequest, value: Secret, signal: AbortSignal): Promise<unknown> {
    const { status, waitMs, body } = await ask(request, value, signal).catch((error: unknown) => {
      if (error instanceof DevinFault) throw error
      signal.throwIfAborted()
      const why = error instanceof Error ? error.message : 'the request failed'
      throw new DevinFault('unavailable', `Devin did not answer: ${why}`, 0, { cause: error })
    })
    if (status >= 200 && status < 300) return parsed(body)
    const [kind, text] = refusals[status] ?? (status >= 500 ? broken : unexpected)
    throw new DevinFault(kind, `Devin answered ${status}${text}`, waitMs)
  }

  return {
    async self(value, signal) {
      const found = await send({ operation: 'self.get', parameters: {} }, value, signal)
      const [type, id, name, organization] = members(
        found,
        'principal_type',
        'service_user_id',
        'service_user_name',
        'org_id',
      )
      if (type !== 'service_user' || typeof id !== 'string' || id === '')
        throw new DevinFault(
          'unreadable',
          `Devin says that the value is no key of a service user, but of type "${String(type)}"`,
        )
      return {
        serviceUser: id,
        name: typeof name === 'string' ? name : id,
        organization: typeof organization === 'string' ? organization : null,
      }
    },
    async active(serviceUser, signal) {
      const request = {
        operation: `${apiKeys}.list`,
        parameters: { service_user_id: serviceUser },
        query: 'status=active',
      }
      const found = await send(request, rotating(), signal)
      const [items, more] = members(found, 'items', 'has_next_page')
      // A key that is left out would stay at Devin.
      if (!Array.isArray(items) || more === true)
        throw new DevinFault(
          'unreadable',
          'the list of the keys of the service user is not whole, or has another form than the API reference says',
        )
      return items.flatMap((item: unknown) => activeKey(item))
    },
    async create(serviceUser, name, expiresAtMs, signal) {
      const expires = expiresAtMs === null ? {} : { expires_at: Math.floor(expiresAtMs / 1000) }
      const request = {
        operation: `${apiKeys}.create`,
        parameters: { service_user_id: serviceUser },
        body: { name, ...expires },
      }
      const [id, value] = members(await send(request, rotating(), signal), 'api_key_id', 'token')
      if (typeof id !== 'string' || id === '' || typeof value !== 'string' || value === '')
        throw new DevinFault('unreadable', 'the answer to the creation of a key holds no id or no value')
      return { id, value }
    },
    async revoke(serviceUser, id, signal) {
      const request = {
        operation: `${apiKeys}.revoke`,
        parameters: { service_user_id: serviceUser, api_key_id: id },
      }
      await send(request, rotating(), signal).catch((error: unknown) => {
        if (!(error instanceof DevinFault && (error.kind === 'absent' || error.kind === 'inactive'))) throw error
      })
    },
  }
}

const refusals: Readonly<Record<number, readonly [DevinFaultKind, string]>> = {
  400: ['unreadable', ': the request is not one that it takes'],
  401: ['rejected', ': the key was revoked, has ended, or was never one of this enterprise'],
  403: [
    'denied',
    ': the key that asks lacks the permission (ManageAccountServiceUsers, to manage keys), or an IP access list excludes the gateway',
  ],
  404: ['absent', ': the service user or the key is not there'],
  409: ['inactive', ': the key is not active'],
  422: ['unreadable', ': the request is not one that it takes'],
  429: ['throttled', ': too many requests'],
}
const broken = ['unavailable', ': the service is in trouble'] as const
const unexpected = ['unreadable', ', which the API reference does not know here'] as const

function parsed(body: Buffer): unknown {
  try {
    return body.length === 0 ? null : JSON.parse(body.toString('utf8'))
  } catch {
    // A parser's message would show a part of the text.
    throw new DevinFault('unreadable', 'an answer of Devin is no JSON')
  }
}

function members(value: unknown, ...names: readonly string[]): readonly unknown[] {
  return names.map((name) => memberOf(value, name))
}

function activeKey(item: unknown): readonly DevinKey[] {
  const [id, name, created, used, ends, isActive] = members(
    item,
    'api_key_id',
    'api_key_name',
    'created_at',
    'last_used_at',
    'expires_at',
    'is_active',
  )
  if (typeof id !== 'string' || typeof isActive !== 'boolean')
    throw new DevinFault(
      'unreadable',
      'a key in the list of the service user has no id, or does not say whether it is active',
    )
  if (!isActive) return []
  return [
    {
      id,
      name: typeof name === 'string' ? name : '',
      createdAtMs: devinTimeMs(created) ?? 0,
      lastUsedAtMs: devinTimeMs(used),
      expiresAtMs: devinTimeMs(ends),
    },
  ]
}
