// The gateway's own reads of the Devin API: with the least powerful key that suffices, recorded like those of callers.

import { randomUUID } from 'node:crypto'
import { parseStrictJson } from '../../json/strict-parser.ts'
import { plainJson } from '../../json/value.ts'
import type { KeyVersion, Keyring } from '../../keys/keyring.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { asProblem, type Problem } from '../../problems.ts'
import type { AccessEntry } from '../../records/entries.ts'
import type { OwnResponse, Upstream } from '../upstream/upstream.ts'
import type { OwnRequest } from '../upstream/upstream-request.ts'

/** The JSON of a successful answer; `absent` for a 404; null when no key may, or when there was no such answer. */
export type OwnAnswer = { readonly value: unknown } | 'absent' | null

export interface OwnCallsOptions {
  readonly policy: () => PolicySet
  readonly keyring: Keyring
  readonly upstream: Pick<Upstream, 'ask'>
  readonly now: () => number
  readonly monotonic: () => number
  readonly record: (entry: AccessEntry) => void
  readonly onTrouble: (operation: string, error: unknown) => void
}

/** A page of a hundred sessions holds some thousand values; one that holds many times more is not read. */
const pageBounds = { maxDepth: 64, maxValues: 20_000 }

export function createOwnCalls(options: OwnCallsOptions) {
  const { policy, keyring, upstream, now, monotonic, onTrouble } = options

  async function ask(
    id: string,
    organization: string | null,
    request: OwnRequest,
    version: KeyVersion,
    isRecorded = true,
  ): Promise<OwnResponse> {
    const requestId = randomUUID()
    const { revision } = policy()
    const startedAtMs = monotonic()
    const record = (status: number | null, bytes: number, problem: Problem | null): void => {
      if (!isRecorded) return
      const durationMs = Math.round((monotonic() - startedAtMs) * 1000) / 1000
      options.record({
        time: new Date(now()).toISOString(),
        request_id: requestId,
        decision_id: requestId,
        method: request.method,
        operation: id,
        path: null,
        organization,
        team: null,
        app: null,
        subject: 'gateway',
        key: version.handle.id,
        key_version: version.version,
        status,
        outcome: problem === null ? 'forwarded' : 'failed',
        problem: problem?.kind ?? null,
        reason: problem?.reason ?? 'own-call',
        limit: null,
        cache: null,
        upstream_status: status,
        upstream_request_id: null,
        bytes_in: 0,
        bytes_out: bytes,
        duration_ms: durationMs,
        upstream_ms: durationMs,
        waited_ms: null,
        trace_id: null,
        policy_revision: revision,
      })
    }
    try {
      const response = await upstream.ask(request, version, requestId)
      record(response.status, response.body.length, null)
      return response
    } catch (error) {
      record(null, 0, asProblem(error))
      throw error
    }
  }

  function keyFor(id: string, organization: string | null): { version: KeyVersion; template: string } | null {
    const { catalogue, selectKey } = policy()
    const operation = catalogue.operation(id)
    const choice =
      operation === null
        ? null
        : selectKey({ operation, organization: operation.scope === 'enterprise' ? null : organization, extra: [] })
    if (operation === null || choice === null) return null
    const version = keyring.open(choice.key)
    if (typeof version === 'string') return null
    const permission = choice.through ?? operation.permission
    keyring.used(choice.key, permission === null ? [] : [permission])
    return { version, template: operation.template }
  }

  return {
    /** Asks with a given key, for the key's own sake: no record says that it was used. Never rejects. */
    async readAs(
      id: string,
      version: KeyVersion,
    ): Promise<{ readonly status: number; readonly value: unknown } | Problem> {
      const template = policy().catalogue.operation(id)?.template ?? ''
      try {
        const { status, body } = await ask(
          id,
          null,
          { method: 'GET', target: template, body: null, isCheck: true },
          version,
          false,
        )
        return { status, value: status === 200 ? valueOf(body) : null }
      } catch (error) {
        return asProblem(error)
      }
    },
    /** Sends a request of an operation with this key. Rejects when there is no answer. */
    async send(
      id: string,
      parameters: Readonly<Record<string, string>>,
      query: string,
      body: string | null,
      version: KeyVersion,
    ): Promise<OwnResponse> {
      const operation = policy().catalogue.operation(id)
      const method = (['GET', 'POST', 'DELETE'] as const).find((each) => each === operation?.method)
      if (operation === null || method === undefined) throw new Error(`the catalogue has no operation ${id}`)
      return await ask(id, null, { method, target: targetOf(operation.template, parameters, query), body }, version)
    },
    /** Reads an operation of the catalogue by its id. What is read about a key is not recorded, like `readAs`. Never rejects. */
    async read(
      id: string,
      parameters: Readonly<Record<string, string>>,
      query: readonly (readonly [name: string, value: string])[] = [],
      about: 'callers' | 'keys' = 'callers',
    ): Promise<OwnAnswer> {
      const found = keyFor(id, parameters['org_id'] ?? null)
      if (found === null) return null
      const target = targetOf(
        found.template,
        parameters,
        new URLSearchParams([...query] as [string, string][]).toString(),
      )
      try {
        const request: OwnRequest = { method: 'GET', target, body: null }
        const { status, body } = await ask(
          id,
          parameters['org_id'] ?? null,
          request,
          found.version,
          about === 'callers',
        )
        if (status === 404) return 'absent'
        return status === 200 ? { value: plainJson(parseStrictJson(body, pageBounds)) } : null
      } catch (error) {
        onTrouble(id, error)
        return null
      }
    },
  }
}

/** Null for what is no JSON. */
function valueOf(body: Buffer): unknown {
  try {
    return plainJson(parseStrictJson(body, pageBounds))
  } catch {
    return null
  }
}

function targetOf(template: string, parameters: Readonly<Record<string, string>>, query: string): string {
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(parameters[name] ?? ''))
  return query === '' ? path : `${path}?${query}`
}

export type OwnCalls = ReturnType<typeof createOwnCalls>
