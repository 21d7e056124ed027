// What the request itself said, for a decision record: enough to decide it again under rules that nobody has written yet. Names
// of fields, numbers, lengths of texts; no text but ids of organizations, and items of lists that a guardrail adds to.

import { JsonNumber, isJsonObject, type StrictJson } from '../../json/value.ts'
import type { Evaluation } from '../../policy/decision/evaluate.ts'
import type { DevinUser } from '../../policy/guardrails/attributes.ts'
import type { RequestEntry } from '../../records/entries.ts'
import { maskSecrets } from '../../records/mask.ts'
import { isShortNumber } from './guardrails-entry.ts'

/** Callers choose how many fields there are, and how they are named. */
const mostFields = 64
const mostCharacters = 64

/** The entry of one evaluation. `devinUser`: as it was looked up; undefined when it was not. */
export function requestEntry(evaluation: Evaluation, devinUser: DevinUser | undefined): RequestEntry {
  const { facts, target, body, verdict } = evaluation
  const { doubtful, undocumented } = facts
  const query = target.query === '' ? null : queryFields(evaluation)
  const isBounded = body !== undefined && verdict !== null && verdict.bound.some((each) => each.body.length > 0)
  return {
    body_read: body !== undefined,
    ...(query === null ? {} : { query }),
    ...(undocumented === null ? {} : { undocumented: shownName(undocumented) }),
    ...(doubtful === null
      ? {}
      : { doubtful: { in: doubtful.in, name: doubtful.name, spelled: shownName(doubtful.spelled) } }),
    ...(isBounded ? { body: body === null ? null : bodyFields(body.value, evaluation) } : {}),
    ...added(evaluation),
    ...(devinUser === undefined ? {} : { devin_user: 'id' in devinUser ? devinUser.id : null }),
  }
}

/** What guardrails put behind lists, by place. */
function added({ verdict }: Evaluation): { readonly added?: Readonly<Record<string, readonly unknown[]>> } {
  const changes = (verdict?.changes ?? []).filter(({ bound }) => bound === 'add')
  if (changes.length === 0) return {}
  const places = Map.groupBy(changes, ({ in: site, place }) => `${site}.${place}`)
  return {
    added: Object.fromEntries([...places].map(([place, of]) => [place, of.map(({ value }) => shownItem(value))])),
  }
}

/** The parameters that the API documents, by name; a repeated one is a list. */
function queryFields({ facts, target, verdict }: Evaluation): Record<string, unknown> | null {
  const { parameters } = facts.operation
  const added = new Set((verdict?.changes ?? []).flatMap(({ in: site, place }) => (site === 'query' ? [place] : [])))
  const fields: Record<string, unknown> = {}
  let count = 0
  for (const pair of target.query.split('&')) {
    const equals = pair.indexOf('=')
    const name = equals === -1 ? pair : pair.slice(0, equals)
    if (added.has(name) || !(parameters.includes(name) || isOrganizationName(name))) continue
    if ((count += 1) > mostFields) break
    const text = equals === -1 ? '' : pair.slice(equals + 1)
    const value = isOrganizationName(name) ? decoded(text) : plainWord.test(text) ? text : shownParameter(text)
    fields[name] = Object.hasOwn(fields, name) ? [fields[name], value].flat() : value
  }
  return count === 0 ? null : fields
}

const plainWord = /^(?:-?\d{1,15}(?:\.\d{1,6})?|true|false)$/

/** A number that is written in another way counts as one too: `1e1`, `%35`. */
function shownParameter(text: string): string {
  const plain = text.length > 256 ? text : unescaped(text)
  return isShortNumber(plain) ? plain : `(text of ${plain.length})`
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

function decoded(text: string): string {
  try {
    return maskSecrets(decodeURIComponent(text.slice(0, 256)))
  } catch {
    return `(text of ${text.length})`
  }
}

/** The members at the top, as the caller sent them. */
function bodyFields(value: StrictJson, { decision, verdict }: Evaluation): Record<string, unknown> {
  if (!isJsonObject(value)) return { '*': shape(value) }
  const changes = decision.effect === 'allow' ? (verdict?.changes ?? []) : []
  const listed = new Set(
    (verdict?.bound ?? []).flatMap(({ body }) =>
      body.flatMap(({ field, add, reserve }) => (add.length + reserve.length > 0 ? [field] : [])),
    ),
  )
  const fields: Record<string, unknown> = {}
  let count = 0
  for (const name in value) {
    if ((count += 1) > mostFields) {
      fields['…'] = true
      break
    }
    const ofField = changes.filter(({ in: site, place }) => site === 'body' && place === name)
    if (ofField.some(({ bound }) => bound === 'default')) continue
    const member = value[name] ?? null
    // What guardrails add stands at the end of the list.
    const own: StrictJson = Array.isArray(member) ? member.slice(0, member.length - ofField.length) : member
    if (ofField.length > 0 && Array.isArray(own) && own.length === 0) continue
    fields[shownName(name)] = isOrganizationName(name) || listed.has(name) ? shownList(own) : shape(own)
  }
  return fields
}

function isOrganizationName(name: string): boolean {
  return name === 'org_id' || name === 'org_ids'
}

/** Short texts as they are, and lists of them. */
function shownList(value: StrictJson): unknown {
  if (!Array.isArray(value)) return shownItem(value)
  return value.length > mostItems ? shape(value) : (value as readonly StrictJson[]).map(shownItem)
}

const mostItems = 49

function shownItem(value: StrictJson): unknown {
  return typeof value === 'string' ? maskSecrets(value.slice(0, 128)) : shape(value)
}

function shape(value: StrictJson): unknown {
  if (value === null || typeof value === 'boolean') return value
  if (value instanceof JsonNumber) return value.toNumber() ?? value.raw.slice(0, mostCharacters)
  if (typeof value === 'string') return `(text of ${value.length})`
  return Array.isArray(value) ? `(list of ${value.length})` : '(object)'
}

function shownName(name: string): string {
  return maskSecrets(name.slice(0, mostCharacters))
}
