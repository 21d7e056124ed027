// Tokens that no careful library would make, signed with node:crypto over whatever header and payload a test wants.

import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'

export interface RsaKey {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The public key as it stands in a key set. */
  readonly jwk: Readonly<Record<string, unknown>> & { readonly kty: string }
}

export function makeRsaKey(kid: string, bits = 2048): RsaKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' })
  return { privateKey, publicKey, jwk: { kty: 'RSA', kid, n, e } }
}

/** `header.payload` in base64url; strings are taken as they are, everything else is made JSON. */
export function signingInput(header: unknown, payload: unknown): string {
  return [header, payload].map(encode).join('.')
}

export function signRs256(input: string, key: KeyObject): string {
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
}

export function signHs256(input: string, secret: string | Buffer): string {
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

function encode(part: unknown): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
}
