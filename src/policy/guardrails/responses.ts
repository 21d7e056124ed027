// Whether the answers that a guardrail speaks of can be filtered: by what the catalogue says of their shape. What cannot is a
// mistake of the file, not something to find out when an answer comes. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { operationsNamed } from '../compile/allow.ts'
import type { GuardrailDocument } from '../documents/guardrail-document.ts'
import type { ReportMistake } from './guardrail.ts'

/** Reports each word of `on` that names an operation whose answer cannot be filtered as the guardrail says. */
export function checkResponse(
  { on, mode, response }: GuardrailDocument,
  catalogue: Catalogue,
  report: ReportMistake,
): void {
  if (response === null) return
  if (mode === 'warn')
    report(
      'error',
      ['mode'],
      'warn records what a bound would refuse, and a filter of answers refuses nothing: try it with mode: shadow',
    )
  for (const [index, word] of on.entries()) {
    const named = operationsNamed(catalogue, word)
    // The unknown word was reported before.
    if (typeof named === 'string') continue
    for (const operation of named) {
      const obstacle =
        (response.filterItemsBy === null ? null : whyNotByOrganization(operation)) ??
        (response.dropFields.length > 0 ? whyNotByField(operation) : null)
      if (obstacle === null) continue
      report('error', ['on', index], obstacle)
      break
    }
  }
}

function whyNotByOrganization({ id, scope, method, answer, paginated, organizations }: Operation): string | null {
  if (scope !== 'enterprise') return `${id} stays inside one organization: the fence holds without filter_items_by`
  if (method !== 'GET')
    return `${id} is a write: what it did could not be undone by filtering its answer. Name reads only`
  if (answer === null || answer.organizations.length === 0) {
    const instead = organizations.query.includes('org_ids')
      ? 'let callers narrow it with org_ids'
      : "grant the organization's own operation"
    return `nothing is known of an organization in the answer of ${id}, so its items cannot be filtered: ${instead}`
  }
  if (paginated && answer.paging === null)
    return `${id} is paged in a way that the filter does not know, so its items cannot be filtered`
  return null
}

function whyNotByField({ id, answer }: Operation): string | null {
  return answer === null ? `no JSON is known of the answer of ${id}, so no fields of it can be dropped` : null
}
