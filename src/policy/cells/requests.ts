// The requests that stand for all requests of an operation: one for each organization it can name, and for each member of
// its body that needs a permission of its own. Pure.

import { isObject } from '../../json/untyped.ts'
import type { ConditionalPermission, Operation } from '../../catalogue/operation.ts'
import { parseTarget, type Target } from '../../catalogue/target.ts'
import { checkedBodyOf, type CheckedBody } from '../decision/checked-body.ts'

/** Stands for every organization that no policy names. */
export const anyOtherOrganization = 'org-any-other'

/** The user at Devin of every caller who is asked about: what callers with a user may do is the most that anybody may. */
export const sampleDevinUser = { id: 'any-devin-user' } as const

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

/** The operation, with the members of the body that need permissions of their own. */
export function askedOperation({ operation, members }: Pick<SampleRequest, 'operation' | 'members'>): string {
  return members.length === 0 ? operation.id : `${operation.id} with ${members.join(' and ')}`
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

/** Whether one request can name several organizations: in a list, or in path and body. */
export function namesSeveral({ organizations: { segment, query, body } }: Operation): 'list' | 'two' | 'no' {
  if (segment !== -1) return body.length > 0 ? 'two' : 'no'
  return query.includes('org_ids') || body.some((place) => place.endsWith('.*')) ? 'list' : 'no'
}

/** The path of an operation, with made-up values for all parameters but the organization. */
export function samplePath({ segments, organizations }: Operation, organization: string): string {
  const values = segments.map((segment, index) => {
    if (!segment.startsWith('{')) return segment
    return index === organizations.segment ? organization : `any-${segment.slice(1, -1).replaceAll('_', '-')}`
  })
  return `/${values.join('/')}`
}

/** `named`: the organizations, of which the path takes the first. */
function sampleRequest(operation: Operation, named: readonly string[], members: readonly string[]): SampleRequest {
  const { segment: place, query: parameters, body: places } = operation.organizations
  const rest = place === -1 ? named : named.slice(1)
  const [parameter] = parameters
  const query = parameter === undefined ? [] : rest.map((id) => `${parameter}=${encodeURIComponent(id)}`)
  const content: Record<string, unknown> = Object.fromEntries(members.map((member) => [member, 'any']))
  const [inBody] = places
  if (parameter === undefined && inBody !== undefined && rest.length > 0)
    setAt(content, inBody.split('.'), inBody.endsWith('.*') ? rest : rest[0])
  const address = `${samplePath(operation, named[0] ?? anyOtherOrganization)}${query.length === 0 ? '' : `?${query.join('&')}`}`
  return { ...sentRequest(address, content), operation, organization: named[0] ?? null, members }
}

function sentRequest(
  address: string,
  content: Readonly<Record<string, unknown>>,
): Pick<SampleRequest, 'target' | 'address' | 'body' | 'bodyText'> {
  const bodyText = Object.keys(content).length === 0 ? null : JSON.stringify(content)
  const body = bodyText === null ? null : checkedBodyOf(content)
  return { target: parseTarget(address), address, body, bodyText }
}

/** The request with another value of a field of its body, or of a parameter; undefined: without it. */
export function withValue(
  request: SampleRequest,
  site: 'body' | 'query',
  field: string,
  value: unknown,
): SampleRequest {
  const { address, bodyText } = request
  const content = bodyText === null ? {} : (JSON.parse(bodyText) as Record<string, unknown>)
  if (site === 'body') {
    setAt(content, field.split('.'), value)
    return { ...request, ...sentRequest(address, content) }
  }
  const [path = '', query = ''] = address.split('?')
  const others = query.split('&').filter((pair) => pair !== '' && !pair.startsWith(`${field}=`))
  const pairs =
    value === undefined
      ? others
      : [...others, `${field}=${encodeURIComponent(typeof value === 'string' ? value : JSON.stringify(value))}`]
  return { ...request, ...sentRequest(`${path}${pairs.length === 0 ? '' : `?${pairs.join('&')}`}`, content) }
}

/** Puts a value at a dotted place, in which `*` stands for the only item of a list; undefined: takes it away. */
function setAt(holder: Record<string, unknown>, [step = '', ...rest]: readonly string[], value: unknown): void {
  const [next] = rest
  if (next === undefined) {
    if (value === undefined) delete holder[step]
    else holder[step] = value
  } else if (next === '*' && rest.length === 1) holder[step] = value === undefined ? [] : [value].flat()
  else {
    const held = next === '*' ? (holder[step] as readonly unknown[] | undefined)?.[0] : holder[step]
    const inner = isObject(held) ? { ...held } : {}
    holder[step] = next === '*' ? [inner] : inner
    setAt(inner, next === '*' ? rest.slice(1) : rest, value)
  }
}

/** Sample requests, each made once: they are the same for all teams and callers. */
export class SampleRequests {
  readonly #known = new Map<string, SampleRequest>()

  /** `named`: the organizations that the request names; several only where the operation takes several. */
  of(operation: Operation, named: readonly string[], members: readonly string[]): SampleRequest {
    const key = `${operation.index} ${named.join(' ')}\n${members.join(' ')}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const made = sampleRequest(operation, named, members)
    this.#known.set(key, made)
    return made
  }
}
