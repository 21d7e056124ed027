// The names in a request that decide: organizations wherever they stand, and what its body is asked for. One reading of
// query and body, for the most lenient server. Pure.

import type { DoubtfulName } from '../model/decision.ts'
import { foldName, foldParameterName } from '../../catalogue/name-folding.ts'
import { type Operation, sessionCreate } from '../../catalogue/operation.ts'
import { lenientParameters } from '../../catalogue/query.ts'
import type { StrictJson } from '../../json/value.ts'
import { type NameTree, misspelledIn, nameTree } from '../model/name-tree.ts'

/** An organization that a query names. */
export interface NamedOrganization {
  readonly id: string
  /** `org_id` or `org_ids` where every server reads that, else null. */
  readonly name: string | null
}

export interface QueryNames {
  readonly organizations: readonly NamedOrganization[]
  readonly doubtful: DoubtfulName | null
  /** The first parameter that the API does not document for the operation and that could reach beyond an organization. */
  readonly undocumented: string | null
}

const none: readonly never[] = []
const empty: QueryNames = { organizations: none, doubtful: null, undocumented: null }

const organizationNames = ['org_id', 'org_ids'] as const
const foldedOrganizations: ReadonlyMap<string, string> = new Map(
  organizationNames.map((name) => [foldName(name), name]),
)

interface OperationNames {
  readonly body: NameTree
  /** Fields that belong into the body, by folded spelling. */
  readonly fields: ReadonlyMap<string, string>
  readonly parameters: ReadonlySet<string>
}

const known = new WeakMap<Operation, OperationNames>()

function namesOf(operation: Operation): OperationNames {
  const before = known.get(operation)
  if (before !== undefined) return before
  const decisive = operation.conditional.map(({ field }) => field)
  // A budget reserves what a session may cost, so that field decides, too.
  if (operation.id === sessionCreate) decisive.push('max_acu_limit')
  const names: OperationNames = {
    body: nameTree([...decisive, ...organizationNames, ...operation.organizations.body]),
    fields: new Map(decisive.map((field) => [foldName(field), field])),
    parameters: new Set(operation.parameters),
  }
  known.set(operation, names)
  return names
}

/** What a query names. */
export function namesInQuery(operation: Operation, query: string): QueryNames {
  if (query === '') return empty
  const { fields, parameters } = namesOf(operation)
  const organizations: NamedOrganization[] = []
  let doubtful: DoubtfulName | null = null
  let undocumented: string | null = null
  const reach = new Reach(operation)
  for (const { spelled, folded, value, isPlain } of lenientParameters(query)) {
    const organization = foldedOrganizations.get(folded)
    if (organization !== undefined) {
      const isExact = isPlain && spelled === organization
      organizations.push({ id: value, name: isExact ? organization : null })
      if (!isExact) doubtful ??= { in: 'query', spelled, name: organization, fault: 'spelling', isOrganization: true }
      continue
    }
    if (parameters.has(spelled)) continue
    const field = fields.get(folded)
    if (field !== undefined) doubtful ??= { in: 'query', spelled, name: field, fault: 'place', isOrganization: false }
    if (undocumented === null && reach.isFurther(spelled, folded)) undocumented = spelled
  }
  return { organizations, doubtful, undocumented }
}

/**
 * Whether an undocumented parameter could make an operation reach beyond the organizations that the request names. The path
 * bounds an organization's own operations, but for a parameter that speaks of organizations. Extension files document none.
 */
class Reach {
  readonly #operation: Operation
  #spelled = ''
  #speaksOfThem = false

  constructor(operation: Operation) {
    this.#operation = operation
  }

  isFurther(spelled: string, folded: string): boolean {
    const { scope, source } = this.#operation
    if (source !== 'catalogue') return false
    return scope === 'enterprise' || folded.includes('org') || this.#speaks(spelled)
  }

  /** Folding cuts off what is in brackets. All readings of a name come together, so it is looked at once. */
  #speaks(spelled: string): boolean {
    if (spelled !== this.#spelled) {
      this.#spelled = spelled
      this.#speaksOfThem =
        spelled.search(brackets) !== -1 && foldParameterName(spelled.replaceAll(brackets, '_')).includes('org')
    }
    return this.#speaksOfThem
  }
}

/** Also escaped, however often. */
const brackets = /\[|%(?:25)*5b/gi

/** The first name of a body that could be taken for one that decides; null when there is none. */
export function doubtfulInBody(operation: Operation, body: StrictJson): DoubtfulName | null {
  const found = misspelledIn(body, namesOf(operation).body)
  if (found === null) return null
  const { spelled, name } = found
  const isOrganization = foldedOrganizations.has(foldName(name))
  return { in: 'body', spelled, name, fault: 'spelling', isOrganization }
}
