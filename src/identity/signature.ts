// Whether a signature was made with a key: jose's verification, held to the one algorithm that the key is for.

import { compactVerify, type CryptoKey } from 'jose'
import type { Algorithm } from '../config/values/algorithms.ts'

/** A public key, and the one algorithm it is for. */
export interface VerificationKey {
  readonly alg: Algorithm
  readonly key: CryptoKey
}

/** `token`: a compact JWS in its canonical form (token-form.ts). Never rejects: a signature that cannot even be tried is none. */
export function isSignedBy(token: string, { alg, key }: VerificationKey): Promise<boolean> {
  if (!isOfLengthFor(key, token)) return Promise.resolve(false)
  // Not awaited: the stack of the error of a wrong signature would lead through every function that waits for it.
  return compactVerify(token, key, { algorithms: [alg] }).then(
    () => true,
    () => false,
  )
}

/**
 * Whether a signature is as long as the modulus, where the key is an RSA key (RFC 8017 sections 8.1.2 and 8.2.2, step 1).
 * OpenSSL also verifies a PSS signature without its leading zero bytes: a second spelling of the same token.
 */
function isOfLengthFor(key: CryptoKey, token: string): boolean {
  if (!('modulusLength' in key.algorithm)) return true
  const length = Buffer.byteLength(token.slice(token.lastIndexOf('.') + 1), 'base64url')
  return length === Math.ceil(Number(key.algorithm.modulusLength) / 8)
}
