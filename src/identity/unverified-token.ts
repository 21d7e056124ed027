// The unverified content of a refused token. For records only: bounded, and never shown to callers.

import { shortened } from '../config/plural.ts'
import type { IssuerConfig } from '../config/issuer-schema.ts'
import type { Claims } from './principal.ts'
import { spellingDifference } from './near-miss.ts'

export interface UnverifiedToken {
  readonly iss: string | null
  readonly aud: readonly string[]
  readonly kid: string | null
  readonly alg: string | null
  /** Where issuer or audience are nearly the configured ones: a sentence. */
  readonly near: string | null
}

const maxChars = 256
const maxAudiences = 5

/** `header` and `claims`: what could be read of them; null for none. */
export function unverifiedToken(
  header: Claims | null,
  claims: Claims | null,
  issuers: ReadonlyMap<string, { readonly settings: IssuerConfig }>,
): UnverifiedToken | null {
  if (header === null && claims === null) return null
  const { iss, aud } = claims ?? {}
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud.slice(0, maxAudiences) : [aud]
  return {
    iss: shown(iss),
    aud: audiences.map(shown).filter((text) => text !== null),
    kid: shown(header?.['kid']),
    alg: shown(header?.['alg']),
    near: nearIssuer(iss, issuers) ?? nearAudience(iss, audiences, issuers),
  }
}

function shown(value: unknown): string | null {
  if (value === undefined) return null
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return shortened(text, maxChars)
}

function nearIssuer(iss: unknown, issuers: ReadonlyMap<string, unknown>): string | null {
  if (typeof iss !== 'string' || iss.length > maxChars || issuers.has(iss)) return null
  for (const wanted of issuers.keys()) {
    const difference = spellingDifference(iss, wanted)
    if (difference !== null) return `iss differs from ${JSON.stringify(wanted)} only ${difference}`
  }
  return null
}

function nearAudience(
  iss: unknown,
  audiences: readonly unknown[],
  issuers: ReadonlyMap<string, { readonly settings: IssuerConfig }>,
): string | null {
  const accepted = (typeof iss === 'string' ? issuers.get(iss) : undefined)?.settings.audience ?? []
  for (const audience of audiences) {
    if (typeof audience !== 'string' || audience.length > maxChars) continue
    for (const wanted of accepted) {
      const difference = spellingDifference(audience, wanted)
      if (difference !== null) return `aud differs from ${JSON.stringify(wanted)} only ${difference}`
    }
  }
  return null
}
