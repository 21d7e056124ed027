// The requests that stand for all requests of an operation: one for each organization it can name, and for each member of
// its body that needs a permission of its own. Pure.

import type { ConditionalPermission, Operation } from '../../catalogue/operation.ts'
import { parseTarget, type Target } from '../../catalogue/target.ts'
import { checkedBodyOf, type CheckedBody } from '../decision/checked-body.ts'

/** Stands for every organization that no policy names. */
export const anyOtherOrganization = 'org-any-other'

/** One request, with what it is about. */
export interface SampleRequest {
  readonly operation: Operation
  /** The organization it names; null when it names none. */
  readonly organization: string | null
  /** Members of the body that need permissions of their own; empty for the plain request. */
  readonly members: readonly string[]
  readonly target: Target
  /** As it would stand in the request line. */
  readonly address: string
  readonly body: CheckedBody | null
  /** The body as JSON; null when there is none. */
  readonly bodyText: string | null
}

/** Where the requests of an operation name an organization. `query`: they need not. */
export function organizationPlace(operation: Operation): 'path' | 'query' | 'body' | 'none' {
  const { segment, query, body } = operation.organizations
  return segment !== -1 ? 'path' : query.length > 0 ? 'query' : body.length > 0 ? 'body' : 'none'
}

/** The plain request, and one for each choice of members that need a permission. */
export function memberChoices(operation: Operation): readonly (readonly string[])[] {
  // Members with the same permission are alike: one stands for them.
  const byPermission = new Map<string, ConditionalPermission>()
  for (const each of operation.conditional) {
    const kind = `${each.when} ${each.permission}`
    if (!byPermission.has(kind)) byPermission.set(kind, each)
  }
  return [...byPermission.values()].reduce<readonly (readonly string[])[]>(
    (choices, { field }) => [...choices, ...choices.map((chosen) => [...chosen, field])],
    [[]],
  )
}

function sampleRequest(operation: Operation, organization: string | null, members: readonly string[]): SampleRequest {
  const place = organizationPlace(operation)
  const path = operation.segments
    .map((segment, index) =>
      !segment.startsWith('{')
        ? segment
        : index === operation.organizations.segment
          ? (organization ?? anyOtherOrganization)
          : `any-${segment.slice(1, -1).replaceAll('_', '-')}`,
    )
    .join('/')
  const [parameter = ''] = operation.organizations.query
  const query = place === 'query' && organization !== null ? `?${parameter}=${encodeURIComponent(organization)}` : ''
  const address = `/${path}${query}`
  const content: Record<string, unknown> = Object.fromEntries(members.map((member) => [member, 'any']))
  if (place === 'body' && organization !== null)
    setAt(content, (operation.organizations.body[0] ?? '').split('.'), organization)
  const bodyText = Object.keys(content).length === 0 ? null : JSON.stringify(content)
  return {
    operation,
    organization,
    members,
    target: parseTarget(address),
    address,
    body: bodyText === null ? null : checkedBodyOf(content),
    bodyText,
  }
}

/** Puts a value at a dotted place, in which `*` stands for one member. */
function setAt(holder: Record<string, unknown>, [step = '', ...rest]: readonly string[], value: unknown): void {
  const name = step === '*' ? 'any' : step
  if (rest.length === 0) holder[name] = value
  else if (rest.length === 1 && rest[0] === '*') holder[name] = [value]
  else {
    const inner: Record<string, unknown> = {}
    holder[name] = inner
    setAt(inner, rest, value)
  }
}

/** Sample requests, each made once: they are the same for all teams and callers. */
export class SampleRequests {
  readonly #known = new Map<string, SampleRequest>()

  of(operation: Operation, organization: string | null, members: readonly string[]): SampleRequest {
    const key = `${operation.index} ${organization ?? ''} ${members.join(' ')}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const made = sampleRequest(operation, organization, members)
    this.#known.set(key, made)
    return made
  }
}
