// A policy directory → one policy set with the secrets of its keys, or a refusal with every diagnostic.

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Catalogue } from '../catalogue/catalogue.ts'
import { hasErrors, Refused, type Diagnostic } from '../config/diagnostics.ts'
import { expiryWarning } from '../keys/expiry.ts'
import { resolveSecrets, type ResolvedSecrets, type SecretSources } from '../keys/keyring.ts'
import { compilePolicies } from './compile.ts'
import {
  readPolicyFile,
  type GatewayLimitsDocument,
  type DevinUsersDocument,
  type GuardrailsDocument,
  type KeyDocument,
  type PolicyDocument,
  type TeamDocument,
  type TestDocument,
} from './document.ts'
import type { PolicySet } from './policy-set.ts'
import { unknownWords, type PolicyWord } from './policy-words.ts'
import { runSuites } from './suite.ts'

export interface LoadedPolicies {
  readonly policy: PolicySet
  /** Of the files, whole; the revision is its beginning. */
  readonly digest: string
  readonly secrets: ResolvedSecrets
  /** Warnings only: with an error the load is refused. */
  readonly diagnostics: readonly Diagnostic[]
  readonly testsPassed: number
}

export interface LoadOptions {
  readonly directory: string
  readonly catalogue: Catalogue
  readonly sources: SecretSources
  /** `required`: a secret that cannot be resolved refuses the load. `reported`: it is a warning (`check` in CI has no secrets). */
  readonly secrets: 'required' | 'reported'
  /** Milliseconds since the epoch: keys that end soon are warned about. */
  readonly now: () => number
}

/** Reads, validates, compiles and tests the whole directory. Throws `Refused`. */
export async function loadPolicies(options: LoadOptions): Promise<LoadedPolicies> {
  const { directory, catalogue } = options
  const { documents, words, digest, diagnostics } = await readPolicyDirectory(directory)
  const teams = documents.filter((document): document is TeamDocument => document.kind === 'team')
  const keys = documents.flatMap((document): readonly KeyDocument[] => (document.kind === 'keys' ? document.keys : []))
  const tests = documents.filter((document): document is TestDocument => document.kind === 'tests')
  const limits = documents.filter((document): document is GatewayLimitsDocument => document.kind === 'limits')
  const guardrails = documents.filter((document): document is GuardrailsDocument => document.kind === 'guardrails')
  const devinUsers = documents.filter((document): document is DevinUsersDocument => document.kind === 'devin-users')
  const compiled = compilePolicies(
    { revision: digest.slice(0, 12), teams, keys, limits, guardrails, devinUsers },
    catalogue,
  )
  if (hasErrors(diagnostics)) {
    // What a broken file would have said is missing everywhere else: warnings would be about that.
    const errors = compiled.diagnostics.filter(({ severity }) => severity === 'error')
    throw new Refused([...diagnostics, ...errors, ...unknownWords(words, catalogue)])
  }
  const found: Diagnostic[] = [...diagnostics, ...compiled.diagnostics]
  const resolved = await resolveSecrets(compiled.policy.keys, options.sources)
  for (const { handle, message } of resolved.unresolved) {
    found.push({
      file: handle.source.file,
      line: handle.source.line,
      column: 1,
      severity: options.secrets === 'required' ? 'error' : 'warning',
      message,
    })
  }
  for (const handle of compiled.policy.keys) {
    const message = expiryWarning(handle, options.now())
    if (message !== null) found.push({ ...handle.source, column: 1, severity: 'warning', message })
  }
  if (hasErrors(found)) throw new Refused(found)
  const suite = runSuites(compiled.policy, tests)
  if (suite.failures.length > 0) throw new Refused([...found, ...suite.failures])
  return { policy: compiled.policy, digest, secrets: resolved.secrets, diagnostics: found, testsPassed: suite.passed }
}

interface PolicyDirectory {
  readonly documents: readonly PolicyDocument[]
  /** Of the files that are none of the documents. */
  readonly words: readonly PolicyWord[]
  readonly digest: string
  readonly diagnostics: readonly Diagnostic[]
}

/** Reads every YAML file below a directory. The revision is a digest of names and contents, equal on every instance. */
export async function readPolicyDirectory(directory: string): Promise<PolicyDirectory> {
  const files = await listPolicyFiles(directory)
  if (files === null)
    return {
      documents: [],
      words: [],
      digest: '',
      diagnostics: [fileProblem(directory, 'the policy directory cannot be read')],
    }
  const diagnostics: Diagnostic[] = []
  const documents: PolicyDocument[] = []
  const words: PolicyWord[] = []
  const digest = createHash('sha256')
  for (const file of files) {
    const name = relative(directory, file)
    const text = await readFile(file, 'utf8').catch(() => null)
    if (text === null) {
      diagnostics.push(fileProblem(file, 'the file cannot be read'))
      continue
    }
    digest.update(`${name}\0${text.length}\0${text}`)
    const read = readPolicyFile({ file, name, text })
    diagnostics.push(...read.diagnostics)
    if (read.document !== null) documents.push(read.document)
    words.push(...(read.words ?? []))
  }
  if (!documents.some((document) => document.kind === 'team') && !hasErrors(diagnostics)) {
    diagnostics.push(
      fileProblem(directory, 'there is no team file here, so nobody could call anything: add teams/<name>.yaml'),
    )
  }
  return { documents, words, digest: digest.digest('hex'), diagnostics }
}

/** YAML files below a directory, sorted; names that start with a dot are left out (mounted config maps keep their data there). */
export async function listPolicyFiles(directory: string): Promise<readonly string[] | null> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => null)
  if (entries === null) return null
  const nested = await Promise.all(
    entries.map(async (entry) => {
      if (entry.name.startsWith('.')) return []
      const path = join(directory, entry.name)
      // A symbolic link may lead to a folder (mounted config maps): reading it as one tells.
      if (entry.isDirectory() || (entry.isSymbolicLink() && !/\.ya?ml$/.test(entry.name)))
        return (await listPolicyFiles(path)) ?? []
      return /\.ya?ml$/.test(entry.name) ? [path] : []
    }),
  )
  return nested.flat().sort()
}

function fileProblem(file: string, message: string): Diagnostic {
  return { file, line: 0, column: 0, severity: 'error', message }
}
