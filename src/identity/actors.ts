// Who acts for the subject of a token: the claim `act` (RFC 8693 section 4.1). Pure.

import { shortened } from '../config/plural.ts'
import { isObject } from '../json/untyped.ts'
import type { Claims } from './principal.ts'
import { incomplete } from './rejection.ts'

const maxActors = 8
const maxChars = 256

/**
 * The actor and those before it, the latest first: at most `maxActors`, then `…` for the rest. Empty where nobody acts for
 * the subject. Throws `identity-incomplete` for an actor without a name: who calls must not be unknown.
 */
export function actorsIn(claims: Claims): readonly string[] {
  const actors: string[] = []
  for (let act = claims['act']; act !== undefined && act !== null; act = act['act']) {
    if (!isObject(act) || typeof act['sub'] !== 'string' || act['sub'] === '') throw namelessActor()
    if (actors.length === maxActors) return [...actors, '…']
    // The first actor is compared with conditions, so it stays whole.
    actors.push(actors.length === 0 ? act['sub'] : shortened(act['sub'], maxChars))
  }
  return actors
}

function namelessActor(): Error {
  return incomplete(
    'The claim `act` of the token, which says who acts for its subject, must be an object with the text `sub`. Ask the identity team to repair it.',
    'claim-shape',
  )
}
