// Finds a caller's user at Devin by the e-mail address of the token, where a guardrail asks for it, and remembers it.

import { LRUCache } from 'lru-cache'
import { addressName, verifiedAddress } from '../identity/claims.ts'
import type { Principal } from '../identity/principal.ts'
import type { DevinUser } from '../policy/guardrails/attributes.ts'
import type { PolicySet } from '../policy/model/policy-set.ts'
import { Problem } from '../problems.ts'
import { memberOf } from '../json/untyped.ts'
import type { OwnAnswer } from './own-calls/own-calls.ts'

/** How the member list is read: the JSON of a successful answer, `absent` for a 404, null when there was none. */
export interface MemberCalls {
  read(
    id: string,
    parameters: Readonly<Record<string, string>>,
    query: readonly (readonly [name: string, value: string])[],
  ): Promise<OwnAnswer>
}

export interface DevinUsersOptions {
  readonly calls: MemberCalls
  readonly monotonic: () => number
}

interface Remembered {
  readonly user: DevinUser
  /** By the monotonic clock. */
  readonly askedAtMs: number
}

/** A user that is known is asked for anew in the background when older than the first, and never believed past the second. */
const refreshAfterMs = 10 * 60_000
const believedMs = 24 * 3_600_000
/** Short, so that a person who was just invited soon gets access. */
const unknownMs = 30_000
/** More than the members of a large company. */
const mostRemembered = 20_000

export function createDevinUsers({ calls, monotonic }: DevinUsersOptions) {
  const remembered = new LRUCache<string, Remembered>({ max: mostRemembered })
  const underWay = new Map<string, Promise<DevinUser | null>>()

  /** Null when the list cannot be read; then what is remembered stays. */
  function ask(list: MemberList, email: string, key: string): Promise<DevinUser | null> {
    const running = underWay.get(key)
    if (running !== undefined) return running
    const asked = search(calls, list, email).then((user) => {
      underWay.delete(key)
      if (user !== null) remembered.set(key, { user, askedAtMs: monotonic() })
      return user
    })
    underWay.set(key, asked)
    return asked
  }

  return {
    /**
     * The caller's user in an organization (null: in the enterprise). A promise only where Devin has to be asked; when the
     * member list cannot be read and nothing is remembered it rejects with `upstream-unreachable`, or, where the answer is
     * not required, says so.
     */
    find(
      policy: PolicySet,
      principal: Principal,
      organization: string | null,
      required: boolean,
    ): DevinUser | Promise<DevinUser> {
      const { email } = principal
      if (email === null)
        return { unknown: 'the token of this caller says no e-mail address, by which Devin could know it' }
      const address = verifiedAddress(principal)
      if (address === null)
        return { unknown: 'the issuer of the token has not verified the e-mail address of this caller' }
      const list = memberListFor(policy, organization)
      if (list === null)
        return {
          unknown:
            "no key of the inventory may read Devin's member list, and devin-users.yaml does not name this caller",
        }
      const key = JSON.stringify([list.operation, list.organization, address])
      const known = remembered.get(key)
      const age = known === undefined ? Number.POSITIVE_INFINITY : monotonic() - known.askedAtMs
      if (known !== undefined && age < ('id' in known.user ? believedMs : unknownMs)) {
        if ('id' in known.user && age >= refreshAfterMs) void ask(list, email, key)
        return known.user
      }
      return ask(list, email, key).then((user) => {
        if (user === null && required) throw unreadable()
        return user ?? { unknown: "Devin's member list cannot be read at the moment" }
      })
    },
  }
}

export type DevinUsers = ReturnType<typeof createDevinUsers>

interface MemberList {
  readonly operation: string
  readonly organization: string | null
}

/** The list that the least powerful key can read: of the organization by a key of its own, else of the enterprise. */
function memberListFor(policy: PolicySet, organization: string | null): MemberList | null {
  const candidates: readonly MemberList[] = [
    ...(organization === null ? [] : [{ operation: 'beta.org.members.users.list', organization }]),
    { operation: 'ent.members.users.list', organization: null },
  ]
  const readable = candidates.find((list) => {
    const operation = policy.catalogue.operation(list.operation)
    return operation !== null && policy.selectKey({ operation, organization: list.organization, extra: [] }) !== null
  })
  return readable ?? null
}

/** Pages that are read at most, in case the API does not filter by the address: 20,000 members. */
const mostPages = 100

/** Null when the list cannot be read to its end. The address is compared here: the filter may be looser than it seems. */
async function search(calls: MemberCalls, list: MemberList, email: string): Promise<DevinUser | null> {
  const wanted = addressName(email)
  const found = new Set<string>()
  const parameters = list.organization === null ? {} : { org_id: list.organization }
  let after: string | null = null
  for (let pages = 0; pages < mostPages; pages += 1) {
    const query: (readonly [string, string])[] = [
      ['first', '200'],
      ['email', email],
    ]
    if (after !== null) query.push(['after', after])
    const answer = await calls.read(list.operation, parameters, query)
    if (answer === null || answer === 'absent') return null
    const items = memberOf(answer.value, 'items')
    if (!Array.isArray(items)) return null
    for (const item of items as readonly unknown[]) {
      const [address, id] = [memberOf(item, 'email'), memberOf(item, 'user_id')]
      if (typeof address === 'string' && typeof id === 'string' && addressName(address) === wanted) found.add(id)
    }
    if (memberOf(answer.value, 'has_next_page') !== true) return userOf([...found], list)
    const cursor = memberOf(answer.value, 'end_cursor')
    if (typeof cursor !== 'string' || cursor === after) return null
    after = cursor
  }
  return null
}

function userOf(ids: readonly string[], { organization }: MemberList): DevinUser {
  const [id] = ids
  const where = organization === null ? 'at Devin' : `in ${organization} at Devin`
  if (id === undefined) return { unknown: `nobody ${where} has the e-mail address of this caller` }
  // Either could be another person, so neither is used.
  return ids.length === 1 ? { id } : { unknown: `several users ${where} have the e-mail address of this caller` }
}

function unreadable(): Problem {
  return new Problem(
    'upstream-unreachable',
    "A guardrail has to know which user of Devin this caller is, and Devin's member list cannot be read at the moment. Nothing was sent; try again.",
    { reason: 'member-list', fields: { 'retry-after': '5' } },
  )
}
