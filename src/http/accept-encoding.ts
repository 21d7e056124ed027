// Accept-Encoding (RFC 9110 section 12.5.3): what to send upstream for a caller's own, and whether it asks for a coding.

import { canDecode } from './content-coding.ts'
import { listMembers } from './field-list.ts'

const member = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)([ \t]*;[ \t]*[qQ]=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$/
/** What `*` stands for in an Accept-Encoding field. */
const all = ['gzip', 'deflate', 'br', 'zstd', 'identity']

/** Clients of one fleet send a handful of different fields. */
const remembered = new Map<string, { accepted: string; weights: ReadonlyMap<string, number> }>()
const maxRemembered = 256

function readingOf(field: string) {
  const known = remembered.get(field)
  if (known !== undefined) return known
  const reading = { accepted: restrict(field), weights: weightsOf(field) }
  const [oldest] = remembered.keys()
  if (remembered.size >= maxRemembered && oldest !== undefined) remembered.delete(oldest)
  if (field.length <= 256) remembered.set(field, reading)
  return reading
}

/**
 * The Accept-Encoding to send upstream for a caller's own (RFC 9110 section 12.5.3), so that every answer can be looked into:
 * the field as it is when it names nothing else, or what is left of it, in its order and with its weights. `*` becomes the
 * names it stands for. Absent, empty and nothing left are `identity`.
 */
export function acceptedCodings(field: string | undefined): string {
  return field === undefined ? 'identity' : readingOf(field).accepted
}

/**
 * The Accept-Encoding where others may get the answer, too: the same whoever asks, so that no caller shapes what others get, and
 * what nearly every client takes. Who does not take it gets the answer decoded.
 */
export const sharedCoding = 'gzip'

function restrict(field: string): string {
  const items = field.split(',').map((item) => item.trim())
  const members = items.filter((item) => item !== '').map((item) => readMember(item))
  if (members.every((item) => item !== null && isKnown(item.name))) return members.length === 0 ? 'identity' : field
  const listed = new Set(members.map((item) => (item?.name === 'x-gzip' ? 'gzip' : item?.name)))
  const kept = members.flatMap((item) => {
    if (item === null) return []
    if (item.name === '*') return all.filter((name) => !listed.has(name)).map((name) => name + item.weight)
    return isKnown(item.name) ? [item.name + item.weight] : []
  })
  return kept.length === 0 ? 'identity' : kept.join(', ')
}

/** Null for a member that is malformed: it is left out like one that is unknown. */
function readMember(item: string): { readonly name: string; readonly weight: string } | null {
  const [, name, weight = ''] = member.exec(item) ?? []
  return name === undefined ? null : { name: name.toLowerCase(), weight }
}

function isKnown(name: string): boolean {
  return name === 'identity' || canDecode(name)
}

/** Whether the Accept-Encoding field asks for a coding. A request without the field is taken to ask for none. */
export function asksFor(acceptEncoding: string | null, coding: string): boolean {
  if (acceptEncoding === null) return false
  const { weights } = readingOf(acceptEncoding)
  return (weights.get(coding) ?? weights.get('*') ?? 0) > 0
}

function weightsOf(field: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>()
  for (const member of listMembers(field.toLowerCase())) {
    const [name = '', ...parameters] = member.split(';').map((part) => part.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    weights.set(name, weight === undefined ? 1 : Number(weight.slice(2)) || 0)
  }
  return weights
}
