// Whether a signature was made with a key: Node's own verification with the parameters that each algorithm name stands for.
// On the spot: a new token costs some 40 µs of computing anyway, and on another thread a fifth more for the way there and
// back. What a key may be used for is settled when it is imported (key-set.ts).

import { constants, verify, type KeyObject } from 'node:crypto'
import type { Algorithm } from '../config/algorithms.ts'

/** A public key, and the one algorithm it is for. */
export interface VerificationKey {
  readonly alg: Algorithm
  readonly key: KeyObject
}

interface Scheme {
  /** Null where the algorithm has one of its own. */
  readonly digest: string | null
  readonly padding?: number
  readonly saltLength?: number
  readonly dsaEncoding?: 'ieee-p1363'
}

/** RFC 7518 section 3.3. */
const pkcs1 = { padding: constants.RSA_PKCS1_PADDING }
/** RFC 7518 section 3.5: the salt is as long as the digest. */
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
/** RFC 7518 section 3.4: R and S one behind the other, and not as DER. */
const ecdsa = { dsaEncoding: 'ieee-p1363' } as const

const schemes: Readonly<Record<Algorithm, Scheme>> = {
  RS256: { digest: 'sha256', ...pkcs1 },
  RS384: { digest: 'sha384', ...pkcs1 },
  RS512: { digest: 'sha512', ...pkcs1 },
  PS256: { digest: 'sha256', ...pss },
  PS384: { digest: 'sha384', ...pss },
  PS512: { digest: 'sha512', ...pss },
  ES256: { digest: 'sha256', ...ecdsa },
  ES384: { digest: 'sha384', ...ecdsa },
  ES512: { digest: 'sha512', ...ecdsa },
  // RFC 8032, RFC 9864.
  EdDSA: { digest: null },
  Ed25519: { digest: null },
}

/**
 * `token`: a compact JWS in its canonical form (token-form.ts). The algorithm is the one the key was imported for, whatever
 * the token says. Never throws.
 */
export function isSignedBy(token: string, { alg, key }: VerificationKey): boolean {
  const { digest, ...parameters } = schemes[alg]
  const end = token.lastIndexOf('.')
  const signed = Buffer.from(token.slice(0, end), 'latin1')
  try {
    return verify(digest, signed, { key, ...parameters }, Buffer.from(token.slice(end + 1), 'base64url'))
  } catch {
    // A signature that cannot even be tried is none. What OpenSSL says of it is nobody's business.
    return false
  }
}
