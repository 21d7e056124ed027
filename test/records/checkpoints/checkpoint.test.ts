// A signed checkpoint: what is signed, by whom, and that nothing of it can be changed.

import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  checkCheckpoint,
  CheckpointKeyFault,
  readCheckpoint,
  readPublicKey,
  readSigningKey,
  signCheckpoint,
  type Checkpoint,
} from '../../../src/records/checkpoints/checkpoint.ts'

const pemOf = (pair: ReturnType<typeof generateKeyPairSync>): string =>
  String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
const pair = generateKeyPairSync('ed25519')
const signer = readSigningKey(pemOf(pair))
const publicPem = String(pair.publicKey.export({ type: 'spki', format: 'pem' }))
const head = { seq: 42, hash: 'ab'.repeat(32) }
const checkpoint = signCheckpoint('corp.example/gateway', head, '2026-11-29T12:00:00.000Z', signer)

describe('a checkpoint', () => {
  test('is a signed note of C2SP, as another program reads it', () => {
    const raw = Buffer.from(String(pair.publicKey.export({ format: 'jwk' }).x), 'base64url')
    const text = `corp.example/gateway\n42\n${Buffer.from(head.hash, 'hex').toString('base64')}\n2026-11-29T12:00:00.000Z\n`
    const bytes = Buffer.from(checkpoint.signature, 'base64')
    const id = createHash('sha256')
      .update('corp.example/gateway\n')
      .update(Buffer.from([1]))
      .update(raw)
      .digest()
      .subarray(0, 4)
    expect(bytes.subarray(0, 4)).toEqual(id)
    expect(checkpoint.key_id).toBe(id.toString('hex'))
    expect(bytes).toHaveLength(68)
    expect(verify(null, Buffer.from(text), createPublicKey(publicPem), bytes.subarray(4))).toBe(true)
  })

  test('is checked by the public key, also behind what syslog has put before it', () => {
    const line = `<109>1 2026-11-29T12:00:00Z host devin-gateway 1 checkpoint - ${JSON.stringify(checkpoint)}`
    expect(readCheckpoint(line)).toEqual(checkpoint)
    expect(checkCheckpoint(checkpoint, [readPublicKey(publicPem)])).toBe('signed')
  })

  test.each([
    ['origin', { origin: 'corp.example/other' }],
    ['sequence', { sequence: 43 }],
    ['hash', { hash: 'ac'.repeat(32) }],
    ['time', { time: '2026-11-29T12:00:01.000Z' }],
    ['key', { key_id: '00000000' }],
    ['signature', { signature: `${checkpoint.signature.slice(0, 20)}AAAA${checkpoint.signature.slice(24)}` }],
    ['empty signature', { signature: '' }],
  ])('is not believed with another %s', (_name, change) => {
    const changed: Checkpoint = { ...checkpoint, ...change }
    expect(checkCheckpoint(changed, [readPublicKey(publicPem)])).not.toBe('signed')
  })

  test('of a key before and after a change is believed by the key that it names', () => {
    const after = generateKeyPairSync('ed25519')
    const later = signCheckpoint(
      'corp.example/gateway',
      { seq: 43, hash: 'cd'.repeat(32) },
      't',
      readSigningKey(pemOf(after)),
    )
    const keys = [readPublicKey(publicPem), readPublicKey(pemOf(after))]
    expect([checkCheckpoint(checkpoint, keys), checkCheckpoint(later, keys)]).toEqual(['signed', 'signed'])
    expect(checkCheckpoint(later, keys.slice(0, 1))).toBe('unknown-key')
  })

  test.each([
    '',
    'no JSON',
    '{"origin":"x"',
    '[]',
    '{}',
    JSON.stringify({ ...checkpoint, sequence: 0 }),
    JSON.stringify({ ...checkpoint, sequence: 1.5 }),
    JSON.stringify({ ...checkpoint, hash: 'xyz' }),
    JSON.stringify({ ...checkpoint, origin: 'a\nb' }),
    JSON.stringify({ ...checkpoint, time: '' }),
    JSON.stringify(checkpoint).slice(0, -1),
  ])('is not read from %j', (line) => {
    expect(readCheckpoint(line)).toBeNull()
  })
})

test('a key of another kind, and what is no key, are refused without repeating them', () => {
  const rsa = pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }))
  expect(() => readSigningKey(rsa)).toThrow(
    new CheckpointKeyFault(
      'it is a key of type rsa, and must be Ed25519: make one with "openssl genpkey -algorithm ed25519"',
    ),
  )
  expect(() => readSigningKey('cog_secret')).toThrow(
    'it is no key in PEM form: make one with "openssl genpkey -algorithm ed25519"',
  )
  // The public half cannot sign.
  expect(() => readSigningKey(publicPem)).toThrow('it is the public key')
  expect(() => readPublicKey('x')).toThrow('write it with "openssl pkey -in KEY -pubout"')
})
