// Seals values and names, so that the store cannot read them: the key never leaves the gateway.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

export interface Sealing {
  /**
   * Encrypts and authenticates. `context` says what the value is and for whom (such as the name it is stored under): under
   * another context it does not open, so that a store cannot pass one value off as another.
   */
  seal(plain: Buffer, context: string): Buffer
  /** What was sealed under this context; null for anything else, whatever is wrong with it. */
  open(sealed: Buffer, context: string): Buffer | null
  /**
   * A name that only holders of the key can form or recognise: 43 characters of base64url. Different parts always
   * give different names.
   */
  name(...parts: readonly string[]): string
}

/** First byte of a sealed value; another layout gets another one. */
const layout = 1
const nonceBytes = 12
const tagBytes = 16
const headBytes = 1 + nonceBytes + tagBytes
const algorithm = 'aes-256-gcm'

/**
 * `secret` is at least 32 random bytes; instances that share a store share it. `purpose` gives each use keys of its own,
 * so that nothing of one use opens or collides in another.
 */
export function createSealing(secret: Buffer, purpose: string): Sealing {
  if (secret.length < 32) throw new Error('the secret of a sealing has at least 32 bytes')
  const derive = (use: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `devin-gateway ${purpose} ${use}`, 32))
  const sealKey = derive('seal')
  const nameKey = derive('name')
  return {
    seal(plain, context) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv(algorithm, sealKey, nonce).setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(plain), cipher.final()])
      return Buffer.concat([Buffer.of(layout), nonce, cipher.getAuthTag(), body])
    },
    open(sealed, context) {
      if (sealed.length < headBytes || sealed[0] !== layout) return null
      const nonce = sealed.subarray(1, 1 + nonceBytes)
      const decipher = createDecipheriv(algorithm, sealKey, nonce, { authTagLength: tagBytes })
      decipher.setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(1 + nonceBytes, headBytes))
      try {
        return Buffer.concat([decipher.update(sealed.subarray(headBytes)), decipher.final()])
      } catch {
        return null
      }
    },
    name: (...parts) => createHmac('sha256', nameKey).update(JSON.stringify(parts)).digest('base64url'),
  }
}
