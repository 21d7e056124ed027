// Parses the signature algorithms that an issuer's allow-list may name. Pure.

import { didYouMean } from '../nearest.ts'
import { quoted, type Parsed } from '../units.ts'

/** Asymmetric signatures of RFC 7518 section 3.1, RFC 8037 and RFC 9864. */
export const signatureAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

export type Algorithm = (typeof signatureAlgorithms)[number]

export function parseAlgorithm(name: string): Parsed<Algorithm> {
  const known = signatureAlgorithms.find((algorithm) => algorithm === name)
  if (known !== undefined) return { value: known }
  if (/^none$/i.test(name))
    return { error: `algorithm ${quoted(name)} is never accepted: anybody could write such a token` }
  if (/^HS\d*$/i.test(name)) {
    return {
      error: `algorithm ${quoted(name)} is never accepted: it is symmetric, so whoever can check a token could also make one`,
    }
  }
  const near = didYouMean(name, signatureAlgorithms)
  return {
    error: `unknown algorithm ${quoted(name)}${near === '' ? `: the names are ${signatureAlgorithms.join(', ')}` : near}`,
  }
}
