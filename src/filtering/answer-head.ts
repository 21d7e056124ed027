// The head of an answer whose body is filtered: which fields stay, and whether there is JSON to filter.

import type { ResponseHead } from '../cache/response-stream.ts'

/**
 * How to treat an answer. `read`: filter its JSON. `error`: an error of the upstream. `pass`: nothing in it can be
 * filtered. `refuse`: its content is unknown.
 */
export type Treatment = 'read' | 'error' | 'pass' | 'refuse'

/** How to treat an answer. Of those that are filtered by organization (`byOrganization`) only 200 is known to be filtered. */
export function treatmentOf(head: ResponseHead, byOrganization: boolean): Treatment {
  const { status } = head
  if (status >= 400) return 'error'
  if (!byOrganization && (status >= 300 || status === 204 || status === 205)) return 'pass'
  return isJson(head) && (status === 200 || (!byOrganization && status !== 206)) ? 'read' : 'refuse'
}

/** Fields that reveal nothing about the unfiltered content: no length, digest, validator, link or count. */
const contentFree = new Set([
  'age',
  'cache-control',
  'content-language',
  'date',
  'deprecation',
  'expires',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'retry-after-ms',
  'sunset',
  'vary',
  'x-content-type-options',
  'x-should-retry',
])

/** The fields of a filtered answer: those of the upstream that stay true. */
export function filteredFields({ fields }: ResponseHead): string[] {
  return ['content-type', 'application/json', ...kept(fields, contentFree)]
}

const ofErrors = new Set([...contentFree, 'content-type', 'allow'])

export function errorFields({ fields }: ResponseHead): string[] {
  return kept(fields, ofErrors)
}

/** RFC 8259 section 11, RFC 6839 section 3.1. */
function isJson({ fields }: ResponseHead): boolean {
  const at = fields.findIndex((name, index) => index % 2 === 0 && name === 'content-type')
  return at !== -1 && /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(fields[at + 1] ?? '')
}

function kept(fields: readonly string[], names: ReadonlySet<string>): string[] {
  return fields.filter((_, index) => names.has(fields[index - (index % 2)] ?? ''))
}
