// Devin users that the policies name for callers: exceptions that override the API's member list. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { addressName, verifiedAddress } from '../../identity/claims.ts'
import { eachInSteps, type Steps } from '../model/steps.ts'
import type { DevinUserFinder } from '../model/policy-set.ts'
import type { DevinUserEntry, DevinUsersDocument } from '../documents/devin-user-document.ts'

/** Compiles the entries of all files. One caller as two users is a mistake: nobody could say which one counts. */
export function* compileDevinUsers(
  documents: readonly DevinUsersDocument[],
  diagnostics: Diagnostic[],
): Steps<DevinUserFinder> {
  const users = new Map<string, string>()
  for (const { file, users: entries, positionOf } of documents) {
    yield* eachInSteps(entries, (entry, index) => {
      const name = nameOf(entry)
      const other = users.get(name)
      if (other !== undefined && other !== entry.id) {
        const who = entry.email ?? entry.subject ?? ''
        const message = `"${who}" is already somebody else at Devin: ${other}`
        diagnostics.push({ file, ...positionOf(['devin_users', index]), severity: 'error', message })
      }
      users.set(name, entry.id)
    })
  }
  if (users.size === 0) return () => null
  return (principal) => {
    const { subject, issuer } = principal
    const email = verifiedAddress(principal)
    // Entries of one issuer take precedence over entries of all, and a subject over an address.
    for (const from of [issuer, null]) {
      const found =
        users.get(nameOf({ email: null, subject, issuer: from })) ??
        (email === null ? undefined : users.get(nameOf({ email, subject: null, issuer: from })))
      if (found !== undefined) return found
    }
    return null
  }
}

function nameOf({ email, subject, issuer }: Omit<DevinUserEntry, 'id'>): string {
  return JSON.stringify([issuer, email === null ? null : addressName(email), subject])
}
