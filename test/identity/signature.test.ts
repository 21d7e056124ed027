// Signatures of every algorithm: the one that was made verifies, and nothing else does.

import * as fc from 'fast-check'
import { CompactSign, generateKeyPair, type CryptoKey } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { signatureAlgorithms, type Algorithm } from '../../src/config/values/algorithms.ts'
import { isSignedBy } from '../../src/identity/signature.ts'

interface Signer {
  readonly key: CryptoKey
  sign(alg: string, payload: string): Promise<string>
}

async function signerFor(alg: Algorithm): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  return {
    key: publicKey,
    sign: (named, payload) =>
      new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader({ alg: named }).sign(privateKey),
  }
}

const signers = new Map<Algorithm, Signer>()
beforeAll(async () => {
  for (const alg of signatureAlgorithms) signers.set(alg, await signerFor(alg))
})

function signerOf(alg: Algorithm): Signer {
  const signer = signers.get(alg)
  if (signer === undefined) throw new Error(`no key for ${alg}`)
  return signer
}

/** The token with one byte of a part changed. */
function changed(token: string, part: 0 | 1 | 2, at: number, by: number): string {
  const parts = token.split('.').map((text) => Buffer.from(text, 'base64url'))
  const bytes = parts[part] ?? Buffer.alloc(0)
  const index = at % bytes.length
  bytes[index] = ((bytes[index] ?? 0) + by) % 256
  return parts.map((one) => one.toString('base64url')).join('.')
}

describe.each(signatureAlgorithms)('a signature with %s', (alg) => {
  it('holds for what was signed, whatever that is, and for nothing that was changed', async () => {
    const { sign, key } = signerOf(alg)
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 1, maxLength: 200 }),
        fc.option(fc.tuple(fc.constantFrom(0, 1, 2), fc.nat(400), fc.integer({ min: 1, max: 255 })), { nil: null }),
        async (payload, change) => {
          const token = await sign(alg, payload)
          const sent = change === null ? token : changed(token, ...change)
          expect(await isSignedBy(sent, { alg, key })).toBe(change === null)
        },
      ),
      { numRuns: 25 },
    )
  })

  it('is none under the name of another algorithm', async () => {
    const { sign, key } = signerOf(alg)
    const token = await sign(alg, 'payload')
    for (const other of signatureAlgorithms.filter((name) => name !== alg))
      expect([other, await isSignedBy(token, { alg: other, key })]).toEqual([other, false])
  })

  it('is none when it is empty, cut short, longer, or made with another key', async () => {
    const { sign, key } = signerOf(alg)
    const token = await sign(alg, 'payload')
    const end = token.lastIndexOf('.') + 1
    const signature = Buffer.from(token.slice(end), 'base64url')
    const others = [
      Buffer.alloc(0),
      Buffer.alloc(signature.length),
      signature.subarray(1),
      signature.subarray(0, -1),
      Buffer.concat([signature, Buffer.from([0])]),
      Buffer.concat([Buffer.from([0]), signature]),
    ]
    for (const other of others)
      expect(await isSignedBy(token.slice(0, end) + other.toString('base64url'), { alg, key })).toBe(false)
    expect(await isSignedBy(token, { alg, key: (await signerFor(alg)).key })).toBe(false)
    expect(await isSignedBy(token, { alg, key })).toBe(true)
  })
})

it.each(['RS256', 'PS256'] as const)('a signature with %s is none without its leading zero byte', async (alg) => {
  const { key, sign } = signerOf(alg)
  const { token, end, signature } = await signedWithLeadingZero((payload) => sign(alg, payload))
  expect(await isSignedBy(token, { alg, key })).toBe(true)
  expect(await isSignedBy(token.slice(0, end) + signature.subarray(1).toString('base64url'), { alg, key })).toBe(false)
})

/** One signature in 256 begins with a zero byte. */
async function signedWithLeadingZero(sign: (payload: string) => Promise<string>) {
  for (let tried = 0; ; tried += 1) {
    const token = await sign(String(tried))
    const end = token.lastIndexOf('.') + 1
    const signature = Buffer.from(token.slice(end), 'base64url')
    if (signature[0] === 0) return { token, end, signature }
  }
}

it('an ECDSA signature in DER is none', async () => {
  const { key, sign } = signerOf('ES256')
  const token = await sign('ES256', 'payload')
  const end = token.lastIndexOf('.') + 1
  const raw = Buffer.from(token.slice(end), 'base64url')
  const integer = (bytes: Buffer): Buffer => {
    const signed = (bytes[0] ?? 0) > 127 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes
    return Buffer.concat([Buffer.from([2, signed.length]), signed])
  }
  const body = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
  const der = Buffer.concat([Buffer.from([0x30, body.length]), body])
  expect(await isSignedBy(token.slice(0, end) + der.toString('base64url'), { alg: 'ES256', key })).toBe(false)
})
