// A key set document (RFC 7517 section 5) made into keys that can verify, and the reasons why others cannot. No I/O.

import { calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import type { Algorithm } from '../../config/values/algorithms.ts'
import { isObject } from '../../json/untyped.ts'
import type { VerificationKey } from '../signature.ts'

/** Of the keys for signatures no more are looked at: each costs an import, and issuers publish two to ten. */
const maxKeys = 100
/** RFC 7518 sections 3.3 and 3.5. Above the upper bound a verification takes milliseconds. */
const [minRsaBits, maxRsaBits] = [2048, 8192]
const maxRsaExponent = 2n ** 32n

interface KeyType {
  readonly kty: string
  readonly crv?: string
}

/** For each algorithm the key type it needs (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2). */
const keyTypes: Readonly<Record<Algorithm, KeyType>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
}

/** What an issuer's allow-list may name. `none` and HS* are not among them and never will be. */
export function isSignatureAlgorithm(name: string): name is Algorithm {
  return Object.hasOwn(keyTypes, name)
}

/** A public key for one algorithm, as an issuer publishes it. */
export interface SigningKey extends VerificationKey {
  readonly kid: string | null
  /** Key id, thumbprint (RFC 7638) and algorithm: two keys with the same identity verify the same tokens. */
  readonly identity: string
}

export interface KeySet {
  readonly keys: readonly SigningKey[]
  /** One sentence for each key that was left out although it looks meant for signatures. */
  readonly warnings: readonly string[]
}

/**
 * The keys of a document that fit one of the allowed algorithms; null when it is no key set at all. A key that fits
 * several algorithms appears once for each, because a key is imported for one. Never throws.
 */
export async function parseKeySet(document: unknown, algorithms: readonly Algorithm[]): Promise<KeySet | null> {
  if (!isObject(document) || !Array.isArray(document['keys'])) return null
  const entries = (document['keys'] as readonly unknown[])
    .map((entry, index) => ({ entry, index }))
    .filter(({ entry }) => !isObject(entry) || isForSignatures(entry))
  const keys: SigningKey[] = []
  const warnings: string[] = []
  if (entries.length > maxKeys) warnings.push(`only the first ${maxKeys} of ${entries.length} keys are used`)
  for (const { entry, index } of entries.slice(0, maxKeys)) {
    const fault = faultOf(entry) ?? (await addKeys(keys, entry, algorithms))
    if (fault !== null) warnings.push(`key ${nameOf(entry, index)} is ignored: ${fault}`)
  }
  return { keys, warnings }
}

/** RFC 7517 sections 4.2 and 4.3. Encryption keys stand in the same documents and are nothing to warn about. */
function isForSignatures(jwk: Readonly<Record<string, unknown>>): boolean {
  const operations = jwk['key_ops']
  return (
    (jwk['use'] ?? 'sig') === 'sig' &&
    (operations === undefined || (Array.isArray(operations) && operations.includes('verify')))
  )
}

function faultOf(entry: unknown): string | null {
  if (!isObject(entry)) return 'it is not an object'
  if (entry['kid'] !== undefined && typeof entry['kid'] !== 'string') return 'its kid is not a string'
  if (entry['kty'] === 'oct' || entry['k'] !== undefined) return 'it is a shared secret, and everybody can read it here'
  if (entry['d'] !== undefined) return 'it holds the private key, so everybody can sign with it'
  if (entry['kty'] === 'RSA') return rsaFaultOf(entry)
  return null
}

function rsaFaultOf(jwk: Readonly<Record<string, unknown>>): string | null {
  const { n, e } = jwk
  if (typeof n !== 'string' || typeof e !== 'string') return 'its modulus or exponent is missing'
  const bits = bitsOf(n)
  if (bits < minRsaBits) return `its modulus has ${bits} bits, and at least ${minRsaBits} are needed`
  if (bits > maxRsaBits) return `its modulus has ${bits} bits, and at most ${maxRsaBits} are accepted`
  const exponent = e.length > 16 ? maxRsaExponent + 1n : integerOf(e)
  // With exponent 1 a signature is the message itself; an even one cannot be an RSA exponent; a large one takes long.
  return exponent < 3n || exponent % 2n === 0n || exponent > maxRsaExponent ? 'its exponent is unsafe' : null
}

function bitsOf(base64url: string): number {
  const hex = Buffer.from(base64url, 'base64url').toString('hex').replace(/^0+/, '')
  return hex === '' ? 0 : hex.length * 4 - Math.clz32(Number.parseInt(hex.charAt(0), 16)) + 28
}

function integerOf(base64url: string): bigint {
  return BigInt(`0x0${Buffer.from(base64url, 'base64url').toString('hex')}`)
}

async function addKeys(keys: SigningKey[], entry: unknown, algorithms: readonly Algorithm[]): Promise<string | null> {
  // faultOf() has seen that it is an object with a fitting `kid`; the import below checks the rest.
  const jwk = entry as JWK
  const fitting = algorithms.filter((alg) => fits(jwk, alg))
  if (fitting.length === 0) return 'its type or algorithm is not among the allowed ones'
  const kid = jwk.kid ?? null
  try {
    const thumbprint = await calculateJwkThumbprint(jwk)
    for (const alg of fitting) {
      // `alg` and `key_ops` were judged above; what they say is not judged again in other words.
      const key = await importJWK({ ...jwk, alg, key_ops: ['verify'], ext: true }, alg)
      if (key instanceof Uint8Array) continue
      keys.push({ kid, alg, key, identity: JSON.stringify([kid, thumbprint, alg]) })
    }
    return null
  } catch {
    return 'it is malformed'
  }
}

function fits(jwk: JWK, alg: Algorithm): boolean {
  const type = keyTypes[alg]
  if (jwk.kty !== type.kty || (type.crv !== undefined && jwk.crv !== type.crv)) return false
  return jwk.alg === undefined || jwk.alg === alg || (isEdwards(jwk.alg) && isEdwards(alg))
}

/** RFC 9864 names `Ed25519` what RFC 8037 named `EdDSA`; issuers publish either for the same key. */
function isEdwards(alg: string): boolean {
  return alg === 'EdDSA' || alg === 'Ed25519'
}

function nameOf(entry: unknown, index: number): string {
  const kid = isObject(entry) ? entry['kid'] : undefined
  return typeof kid === 'string' ? JSON.stringify(kid.slice(0, 100)) : `number ${index + 1}`
}
