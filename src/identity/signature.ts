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
  // Not awaited: the stack of the error of a wrong signature would lead through every function that waits for it.
  return compactVerify(token, key, { algorithms: [alg] }).then(
    () => true,
    () => false,
  )
}
