// Text of a policy file → its document, or every mistake in it. Each kind of file has its shape in a file of its own.

import { fileProblem, sortDiagnostics, type Diagnostic } from '../../config/diagnostics.ts'
import { topLevelKeys } from '../../config/yaml/document.ts'
import { readDevinUsers, type DevinUsersDocument } from './devin-user-document.ts'
import { readGatewayLimits, type GatewayLimitsDocument } from './gateway-limits-document.ts'
import { readGuardrails, type GuardrailsDocument } from './guardrail-document.ts'
import { readInvariants, type InvariantsDocument } from './invariant-document.ts'
import { readKeys, type KeysDocument } from './key-document.ts'
import { readTeam, type TeamDocument } from './team-document.ts'
import type { DocumentResult } from './document-fields.ts'
import { readTests, type TestDocument } from './test-document.ts'

export type { DevinUsersDocument } from './devin-user-document.ts'
export type { GatewayLimitsDocument } from './gateway-limits-document.ts'
export type { FieldRule, GuardrailDocument, GuardrailsDocument } from './guardrail-document.ts'
export type { InvariantsDocument } from './invariant-document.ts'
export type { KeyDocument, KeysDocument } from './key-document.ts'
export type { BudgetDocument, LimitsDocument, QuotaDocument } from './limit-fields.ts'
export type { MemberEntry } from './condition-document.ts'
export type { GrantDocument, TeamDocument } from './team-document.ts'
export type { TestBlockDocument, TestCaseDocument, TestDocument, TestPrincipalDocument } from './test-document.ts'

export type PolicyDocument =
  | TeamDocument
  | DevinUsersDocument
  | GatewayLimitsDocument
  | GuardrailsDocument
  | InvariantsDocument
  | KeysDocument
  | TestDocument
export type PolicyFileKind = PolicyDocument['kind']

export interface PolicyFile {
  /** Path of the file, for diagnostics and as the base of relative paths in it. */
  readonly file: string
  /** Path inside the policies directory, with `/`. Decides the kind. */
  readonly name: string
  readonly text: string
}

export type PolicyFileResult = DocumentResult<PolicyDocument>

const readers: Readonly<Record<PolicyFileKind, (file: string, text: string) => PolicyFileResult>> = {
  team: readTeam,
  limits: readGatewayLimits,
  guardrails: readGuardrails,
  invariants: readInvariants,
  'devin-users': readDevinUsers,
  keys: readKeys,
  tests: readTests,
}

/** The kind of a policy file: by its name, else by the word at its top; null when neither says it. */
export function classifyPolicyFile(name: string, text: string): PolicyFileKind | null {
  const base = name.slice(name.lastIndexOf('/') + 1).replace(/\.ya?ml$/, '')
  if (base.endsWith('.test')) return 'tests'
  if (base === 'keys' || base === 'limits' || base === 'devin-users') return base
  if (base.startsWith('guardrails')) return 'guardrails'
  if (base.startsWith('invariants')) return 'invariants'
  if (/(^|\/)teams\//.test(name)) return 'team'
  const words = topLevelKeys(text)
  if (words.includes('devin_users')) return 'devin-users'
  return (['team', 'keys', 'guardrails', 'limits', 'invariants'] as const).find((word) => words.includes(word)) ?? null
}

/** Reads one file, whatever its kind. Pure. */
export function readPolicyFile({ file, name, text }: PolicyFile): PolicyFileResult {
  const values = keyValues(file, text)
  const kind = classifyPolicyFile(name, text)
  const {
    document,
    diagnostics,
    words = [],
  }: PolicyFileResult = kind === null ? { document: null, diagnostics: [unknownKind(file)] } : readers[kind](file, text)
  const places = new Set(values.map(placeOf))
  const others = diagnostics.filter((each) => !places.has(placeOf(each)))
  return {
    document: values.length > 0 ? null : document,
    diagnostics: sortDiagnostics([...values, ...others]),
    // Messages about a word repeat it, so words that look like keys are left out.
    words: words.filter((word) => word.text.search(keyValue) === -1),
  }
}

function placeOf({ line, column }: Diagnostic): string {
  return `${line}:${column}`
}

function unknownKind(file: string): Diagnostic {
  const message =
    'cannot tell what kind of policy file this is: put it at teams/NAME.yaml, guardrails.yaml, invariants.yaml, keys.yaml, limits.yaml, devin-users.yaml or NAME.test.yaml, or begin it with "team:", "guardrails:", "invariants:", "keys:", "limits:" or "devin_users:"'
  return fileProblem(file, message)
}

// The prefixes of Devin's keys. Not part of a longer word, so that a file called my-cog_x is no finding.
const keyValue = /(?<![A-Za-z0-9_.-])(?:cog|apk)_[A-Za-z0-9]/g

/** Key values anywhere in the text, comments included. The messages never repeat them. */
function keyValues(file: string, text: string): Diagnostic[] {
  return text.split('\n').flatMap((line, index) =>
    [...line.matchAll(keyValue)].map((match): Diagnostic => ({
      file,
      line: index + 1,
      column: match.index + 1,
      severity: 'error',
      message:
        'a key value (cog_… or apk_…) stands here: policies hold references only. Remove it, and replace the key, because everybody who can read this file has it',
    })),
  )
}
