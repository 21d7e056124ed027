// The simulator of the Devin API without its sockets: the same state, the same handlers, one key that manages the others.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { devinApi } from '../../../src/catalogue/data.ts'
import type { AskDevin } from '../../../src/keys/rotation/devin-keys.ts'
import { Secret } from '../../../src/keys/secret.ts'
import { authorize, isActive, type ApiKey } from '../../../src/sandbox/simulator/company/credentials.ts'
import { ApiError } from '../../../src/sandbox/simulator/http/answers.ts'
import { serviceUserHandlers } from '../../../src/sandbox/simulator/company/service-users.ts'
import type { Handlers } from '../../../src/sandbox/simulator/state/call.ts'
import { createState } from '../../../src/sandbox/simulator/state/state.ts'
import { createBareWorld } from '../../../src/sandbox/world/world.ts'

export const origin = 'https://api.devin.example'
export const rotatingValue = 'cog_rotator-0123456789abcdef'

const emptyWorld = { ...createBareWorld(), items: [] }
const entries = new Map(devinApi.operations.map((entry) => [entry.id, entry]))

/** A company with one key to be rotated, whose value is given, and one that rotates. */
export function simulateDevin(oldValue: string, now: () => number) {
  const user = (id: string, permissions: string[], keys: string[]) =>
    ({ id, name: id, scope: 'enterprise', organization: null, permissions, keys }) as const
  const serviceUsers = [
    user('analytics', ['ViewAccountMetrics'], [oldValue]),
    user('rotator', ['ManageAccountServiceUsers'], [rotatingValue]),
  ]
  const state = createState({ ...emptyWorld, serviceUsers }, now())
  const handlers: Handlers = {
    ...serviceUserHandlers(state),
    'self.get': ({ caller }) => ({
      principal_type: 'service_user',
      service_user_id: caller.id,
      service_user_name: caller.name,
      org_id: caller.organization,
    }),
  }
  const seconds = (): number => Math.floor(now() / 1000)

  const ask: AskDevin = ({ operation, parameters, query = '', body = {} }, value) => {
    const entry = entries.get(operation)
    if (entry === undefined) throw new Error(`no operation ${operation}`)
    try {
      const caller = state.keyring.authenticate(`Bearer ${value.reveal(origin)}`, seconds())
      authorize(state.directory, caller, entry, 'enterprise')
      const result: unknown = handlers[operation]?.({
        operation: entry,
        parameter: (name) => parameters[name] ?? '',
        query: new URLSearchParams(query),
        body,
        caller,
        owner: 'enterprise',
        nowMs: now(),
        seconds: seconds(),
        // No handler of keys looks at them.
        request: undefined as unknown as IncomingMessage,
        response: undefined as unknown as ServerResponse,
      })
      return Promise.resolve({ status: 200, waitMs: 0, body: Buffer.from(JSON.stringify(result)) })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      return Promise.resolve({ status: error.status, waitMs: 0, body: Buffer.from('{}') })
    }
  }

  return {
    ask,
    keys: (): readonly ApiKey[] => state.keyring.of('analytics'),
    activeKeys: (): readonly ApiKey[] => state.keyring.of('analytics').filter((key) => isActive(key, seconds())),
    /** Whether Devin accepts a value as the service user whose key is rotated. */
    accepts(value: string): boolean {
      try {
        return state.keyring.authenticate(`Bearer ${value}`, seconds()).id === 'analytics'
      } catch {
        return false
      }
    },
    /** Somebody revokes the key by hand. */
    revoke: (value: string): void => state.keyring.revoke(value, seconds()),
    issue: (name: string): string => state.keyring.issue('analytics', name, seconds(), null).value,
  }
}

export type SimulatedDevin = ReturnType<typeof simulateDevin>

export const rotating = new Secret(rotatingValue, origin)
