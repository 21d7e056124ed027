// A checkpoint: the head of the audit chain at an instant, signed. One line of JSON, and the text that is signed. Pure.
//
// What is signed is the text of a C2SP signed note (https://c2sp.org/signed-note) whose lines are those of a checkpoint (https://c2sp.org/tlog-checkpoint):
//   <origin>\n<sequence>\n<hash, base64>\n<time>\n
// `signature` is the base64 of the note's signature line: four bytes that name the key, then the Ed25519 signature (RFC 8032). So any program for notes can
// check it. The hash is that of a chain and not of a Merkle tree.

import { parseObject } from '../../json/untyped.ts'
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import type { ChainHead } from '../audit/chain.ts'

export interface Checkpoint {
  /** Names the log, wherever its files are. */
  readonly origin: string
  /** Number and hash of the last line that was on the disk. */
  readonly sequence: number
  readonly hash: string
  /** When it was signed. Nothing is ordered by it: clocks jump. */
  readonly time: string
  /** Eight hexadecimal digits. */
  readonly key_id: string
  readonly signature: string
}

export interface CheckpointKey {
  readonly key: KeyObject
  readonly publicBytes: Buffer
}

/** A text that is no key, or a key of another kind: what it is and what to do, without any part of it. */
export class CheckpointKeyFault extends Error {
  override readonly name = 'CheckpointKeyFault'
}

/** Reads a private key. Throws CheckpointKeyFault. */
export function readSigningKey(pem: string): CheckpointKey {
  if (pem.includes('-----BEGIN PUBLIC KEY-----'))
    throw new CheckpointKeyFault('it is the public key, which only checks: put the private key there')
  if (/-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem))
    throw new CheckpointKeyFault(
      'it is encrypted with a passphrase, which nobody can type: "openssl pkey -in KEY" writes it without one',
    )
  return keyOf(() => createPrivateKey(pem), 'make one with "openssl genpkey -algorithm ed25519"')
}

/** Reads a public key; a private one gives its public half. Throws CheckpointKeyFault. */
export function readPublicKey(pem: string): CheckpointKey {
  return keyOf(() => createPublicKey(pem), 'write it with "openssl pkey -in KEY -pubout"')
}

function keyOf(read: () => KeyObject, advice: string): CheckpointKey {
  let key: KeyObject
  try {
    key = read()
  } catch {
    throw new CheckpointKeyFault(`it is no key in PEM form: ${advice}`)
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new CheckpointKeyFault(
      `it is a key of type ${key.asymmetricKeyType ?? key.type}, and must be Ed25519: ${advice}`,
    )
  const { x = '' } = key.export({ format: 'jwk' })
  return { key, publicBytes: Buffer.from(x, 'base64url') }
}

/** The name of a key under an origin, as in signed notes: the first four bytes of a digest, hexadecimal. */
export function checkpointKeyId(origin: string, { publicBytes }: CheckpointKey): string {
  return createHash('sha256').update(`${origin}\n\x01`).update(publicBytes).digest('hex').slice(0, 8)
}

export function signCheckpoint(origin: string, head: ChainHead, time: string, signer: CheckpointKey): Checkpoint {
  const unsigned = { origin, sequence: head.seq, hash: head.hash, time }
  const keyId = checkpointKeyId(origin, signer)
  const signature = sign(null, Buffer.from(signedText(unsigned)), signer.key)
  return {
    ...unsigned,
    key_id: keyId,
    signature: Buffer.concat([Buffer.from(keyId, 'hex'), signature]).toString('base64'),
  }
}

/** Whether one of the keys has signed it; `unknown-key` when none of them has its name. */
export function checkCheckpoint(
  checkpoint: Checkpoint,
  keys: readonly CheckpointKey[],
): 'signed' | 'forged' | 'unknown-key' {
  const bytes = Buffer.from(checkpoint.signature, 'base64')
  const named = keys.filter((key) => checkpointKeyId(checkpoint.origin, key) === checkpoint.key_id)
  if (named.length === 0) return 'unknown-key'
  if (bytes.subarray(0, 4).toString('hex') !== checkpoint.key_id) return 'forged'
  const text = Buffer.from(signedText(checkpoint))
  return named.some(({ key }) => verify(null, text, publicHalf(key), bytes.subarray(4))) ? 'signed' : 'forged'
}

function publicHalf(key: KeyObject): KeyObject {
  return key.type === 'public' ? key : createPublicKey(key)
}

function signedText({
  origin,
  sequence,
  hash,
  time,
}: Pick<Checkpoint, 'origin' | 'sequence' | 'hash' | 'time'>): string {
  return `${origin}\n${sequence}\n${Buffer.from(hash, 'hex').toString('base64')}\n${time}\n`
}

/** Reads a line that a place has kept, with whatever the place has put before it, as syslog does. Null for no checkpoint. */
export function readCheckpoint(line: string): Checkpoint | null {
  const start = line.indexOf('{')
  const end = line.lastIndexOf('}')
  if (start === -1 || end < start) return null
  const value = parseObject(line.slice(start, end + 1))
  return isCheckpoint(value) ? value : null
}

function isCheckpoint(value: unknown): value is Checkpoint {
  if (typeof value !== 'object' || value === null) return false
  const { origin, sequence, hash, time, key_id: keyId, signature } = value as Readonly<Record<string, unknown>>
  return (
    isLine(origin) &&
    typeof sequence === 'number' &&
    Number.isSafeInteger(sequence) &&
    sequence > 0 &&
    typeof hash === 'string' &&
    /^[0-9a-f]{64}$/.test(hash) &&
    isLine(time) &&
    typeof keyId === 'string' &&
    typeof signature === 'string'
  )
}

/** A line break in a member would make another signed text of it. */
function isLine(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !value.includes('\n')
}
