// What the suites about decisions share: the real catalogue, policies made from YAML texts in memory, callers, bodies.

import { compileCatalogue } from '../../src/catalogue/catalogue.ts'
import { devinApi } from '../../src/catalogue/data.ts'
import type { Operation } from '../../src/catalogue/operation.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import { formatDiagnostic, hasErrors, sortDiagnostics, type Diagnostic } from '../../src/config/diagnostics.ts'
import { emptyPrincipal, type Principal } from '../../src/identity/principal.ts'
import type { KeyHandle } from '../../src/keys/key.ts'
import { compilePolicies } from '../../src/policy/compile/compile.ts'
import {
  readPolicyFile,
  type GatewayLimitsDocument,
  type DevinUsersDocument,
  type GuardrailsDocument,
  type KeyDocument,
  type PolicyDocument,
  type TeamDocument,
  type TestDocument,
} from '../../src/policy/documents/document.ts'
import { evaluate, findOperation, type Evaluation } from '../../src/policy/decision/evaluate.ts'
import type { DevinUser } from '../../src/policy/guardrails/attributes.ts'
import { checkedBodyOf, type CheckedBody } from '../../src/policy/decision/checked-body.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'

/** The built-in catalogue as a gateway with the default settings serves it. */
export const catalogue = compileCatalogue({ data: devinApi, stability: ['stable', 'beta'], extensions: [] }).catalogue

/** The same with every stability class served, the operations that other pages say are gone included. */
export const wholeCatalogue = compileCatalogue({
  data: devinApi,
  stability: ['stable', 'beta', 'early-access', 'deprecated', 'superseded', 'removed?'],
  extensions: [],
}).catalogue

export function operationOf(id: string, from = catalogue): Operation {
  const found = from.operation(id)
  if (found === null) throw new Error(`no operation ${id} in the catalogue`)
  return found
}

export function principalOf(changes: Partial<Principal> = {}): Principal {
  return { ...emptyPrincipal, subject: 'ada', issuer: 'https://sso.test', emailVerified: true, ...changes }
}

/** An organization key of org-a without permissions, but for what is said. */
export function keyOf(id: string, changes: Partial<KeyHandle> = {}): KeyHandle {
  return {
    id,
    scope: 'organization',
    organization: 'org-a',
    permissions: new Set(),
    serves: 'none',
    secret: { env: 'KEY' },
    serviceUser: null,
    watch: false,
    expiresAtMs: null,
    rotate: null,
    source: { file: 'keys.yaml', line: 1 },
    ...changes,
  }
}

export function enterpriseKeyOf(id: string, changes: Partial<KeyHandle> = {}): KeyHandle {
  return keyOf(id, { scope: 'enterprise', organization: null, ...changes })
}

/**
 * A JSON value as the policy sees a body: `*` stands for every member, and for a single value where a list should be;
 * what is absent gives nothing.
 */
export function bodyOf(value: unknown): CheckedBody {
  return { ...checkedBodyOf(value), valuesAt: (place) => valuesAt(value, place.split('.')) }
}

function valuesAt(value: unknown, [name, ...rest]: readonly string[]): readonly unknown[] {
  if (name === undefined) return [value]
  if (value === null) return []
  if (typeof value !== 'object') return name === '*' ? valuesAt(value, rest) : []
  return Object.entries(value).flatMap(([key, member]) =>
    name === '*' || (name === key && !Array.isArray(value)) ? valuesAt(member, rest) : [],
  )
}

/** Policy files by name, as they would lie in the policies directory. */
export type PolicyFiles = Readonly<Record<string, string>>

export interface CompiledFiles {
  readonly policy: PolicySet
  /** As `check` prints them, sorted. */
  readonly lines: readonly string[]
  readonly diagnostics: readonly Diagnostic[]
  readonly tests: readonly TestDocument[]
}

/** Reads and compiles texts. The files themselves must be well-formed; what the compiler finds is in the answer. */
export function compileFiles(files: PolicyFiles, using = catalogue): CompiledFiles {
  const documents: PolicyDocument[] = []
  for (const [name, text] of Object.entries(files)) {
    const { document, diagnostics } = readPolicyFile({ file: name, name, text })
    if (document === null) throw new Error(diagnostics.map(formatDiagnostic).join('\n'))
    documents.push(document)
  }
  const { policy, diagnostics } = compilePolicies(
    {
      revision: 'r1',
      teams: documents.filter((document): document is TeamDocument => document.kind === 'team'),
      keys: documents.flatMap((document): readonly KeyDocument[] => (document.kind === 'keys' ? document.keys : [])),
      limits: documents.filter((document): document is GatewayLimitsDocument => document.kind === 'limits'),
      devinUsers: documents.filter((document): document is DevinUsersDocument => document.kind === 'devin-users'),
      guardrails: documents.filter((document): document is GuardrailsDocument => document.kind === 'guardrails'),
    },
    using,
  )
  return {
    policy,
    diagnostics,
    lines: sortDiagnostics(diagnostics).map(formatDiagnostic),
    tests: documents.filter((document): document is TestDocument => document.kind === 'tests'),
  }
}

/** The compiled policies; an error among the diagnostics fails the test. */
export function policyFrom(files: PolicyFiles, using = catalogue): PolicySet {
  const { policy, diagnostics, lines } = compileFiles(files, using)
  if (hasErrors(diagnostics)) throw new Error(lines.join('\n'))
  return policy
}

/** Evaluates `METHOD PATH` with a body, or with none. */
export function ask(
  policy: PolicySet,
  principal: Principal,
  request: string,
  body?: unknown,
  devinUser?: DevinUser,
): Evaluation {
  const [method = '', path = ''] = request.split(' ')
  const target = parseTarget(path)
  const operation = findOperation(policy, method, target)
  return evaluate(policy, principal, operation, target, body === undefined ? null : bodyOf(body), devinUser)
}

/** The answer in one line: `allow payments/run-sessions payments-runner` or `deny organization-not-granted payments`. */
export function outcomeOf({ decision, key }: Evaluation): string {
  const { effect, reason, team, grant } = decision
  if (effect === 'deny') return `deny ${reason} ${team?.id ?? '-'}`
  return `allow ${team?.id ?? '-'}/${grant?.id ?? '-'} ${key?.key.id ?? 'no-key'}`
}
