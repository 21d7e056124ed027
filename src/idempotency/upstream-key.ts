// The Idempotency-Key that the upstream sees. Callers share its credential, so that it could take two callers with one key for
// one: what is sent is made from the caller and the key, the same on every instance and for every repetition.

import { createHash } from 'node:crypto'
import type { KeyOwner } from './idempotency-service.ts'

/** Gives the value of the field: a string in quotes (draft-ietf-httpapi-idempotency-key-header). */
export function upstreamKey({ issuer, subject, team, app }: KeyOwner, key: string): string {
  const digest = createHash('sha256').update(JSON.stringify([issuer, subject, team, app, key]))
  return `"${digest.digest('base64url')}"`
}
