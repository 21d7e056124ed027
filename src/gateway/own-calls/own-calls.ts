// Reads of the gateway's own at the Devin API: with the least key of the inventory that may, like those of callers. Used by
// devin-users.ts and session-reader.ts.

import { parseStrictJson } from '../../json/strict-parser.ts'
import { plainJson } from '../../json/value.ts'
import type { KeyVersion, Keyring } from '../../keys/keyring.ts'
import type { PolicySet } from '../../policy/policy-set.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** The JSON of a successful answer; `absent` for a 404; null when no key may, or when there was no such answer. */
export type OwnAnswer = { readonly value: unknown } | 'absent' | null

export interface OwnCalls {
  /** Reads an operation of the catalogue by its id. Never rejects. */
  read(
    id: string,
    /** By the name of the path's parameter. `org_id` chooses the key, too. */
    parameters: Readonly<Record<string, string>>,
    query?: readonly (readonly [name: string, value: string])[],
  ): Promise<OwnAnswer>
}

export interface OwnCallsOptions {
  readonly policy: () => PolicySet
  readonly keyring: Keyring
  readonly upstream: Pick<Upstream, 'ask'>
  readonly onTrouble: (operation: string, error: unknown) => void
}

/** A page of a hundred sessions holds some thousand values; one that holds many times more is not read. */
const pageBounds = { maxDepth: 64, maxValues: 20_000 }

export function createOwnCalls({ policy, keyring, upstream, onTrouble }: OwnCallsOptions): OwnCalls {
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
    async read(id, parameters, query = []) {
      const found = keyFor(id, parameters['org_id'] ?? null)
      if (found === null) return null
      const path = found.template.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
        encodeURIComponent(parameters[name] ?? ''),
      )
      const search = new URLSearchParams([...query] as [string, string][]).toString()
      try {
        const { status, body } = await upstream.ask(search === '' ? path : `${path}?${search}`, found.version)
        if (status === 404) return 'absent'
        return status === 200 ? { value: plainJson(parseStrictJson(body, pageBounds)) } : null
      } catch (error) {
        onTrouble(id, error)
        return null
      }
    },
  }
}
