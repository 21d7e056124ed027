// Reads the files of a policy directory into documents.

import { createHash } from 'node:crypto'
import { join, relative, resolve } from 'node:path'
import { policyFolderProblem } from '../../config/checks.ts'
import { fileProblem, hasErrors, type Diagnostic } from '../../config/diagnostics.ts'
import { readPolicyFile, type PolicyDocument } from '../documents/document.ts'
import type { PolicyWord } from '../documents/policy-words.ts'
import { listPolicyFolder, readPolicyText, strayFile } from './folder.ts'

/** A policy file as it was read. */
export interface PolicyText {
  readonly name: string
  readonly text: string
}

/** Of all files together. */
const mostCharacters = 64 * 1024 * 1024

export interface PolicyDirectory {
  readonly files: readonly PolicyText[]
  readonly documents: readonly PolicyDocument[]
  /** Of the files that are none of the documents. */
  readonly words: readonly PolicyWord[]
  readonly digest: string
  readonly diagnostics: readonly Diagnostic[]
}

/** Reads every policy file below a directory. The revision is a digest of names and contents, equal on every instance. */
export async function readPolicyDirectory(directory: string): Promise<PolicyDirectory> {
  const folder = await listPolicyFolder(directory)
  if (folder === null) {
    const problem = (await policyFolderProblem(directory)) ?? 'the policy directory cannot be read'
    return { files: [], documents: [], words: [], digest: '', diagnostics: [fileProblem(directory, problem)] }
  }
  const problems: Diagnostic[] = [...folder.diagnostics]
  const texts: PolicyText[] = []
  let characters = 0
  for (const file of folder.files) {
    const content = await readPolicyText(file)
    if ('problem' in content) {
      problems.push(fileProblem(file, content.problem))
      continue
    }
    characters += content.text.length
    if (characters > mostCharacters) {
      problems.push(fileProblem(file, `with this file the policies hold more than ${mostCharacters} characters`))
      break
    }
    texts.push({ name: relative(directory, file), text: content.text })
  }
  const read = readPolicyTexts(directory, texts)
  const { documents } = read
  const secretFiles = secretFilesOf(documents)
  const strays = folder.others.filter((file) => !secretFiles.has(resolve(file))).map(strayFile)
  const diagnostics = [...problems, ...read.diagnostics, ...strays]
  if (!documents.some((document) => document.kind === 'team') && !hasErrors(diagnostics)) {
    diagnostics.push(
      fileProblem(directory, 'there is no team file here, so nobody could call anything: add teams/<name>.yaml'),
    )
  }
  return { ...read, diagnostics }
}

/** Reads policy files whose texts are known. */
export function readPolicyTexts(directory: string, files: readonly PolicyText[]): PolicyDirectory {
  const digest = createHash('sha256')
  const results = files.map(({ name, text }) => {
    digest.update(`${name}\0${text.length}\0${text}`)
    return readPolicyFile({ file: join(directory, name), name, text })
  })
  return {
    files,
    documents: results.flatMap(({ document }) => document ?? []),
    words: results.flatMap(({ words }) => words ?? []),
    digest: digest.digest('hex'),
    diagnostics: results.flatMap(({ diagnostics }) => diagnostics),
  }
}

/** Secret files may lie beside the inventory that names them. */
function secretFilesOf(documents: readonly PolicyDocument[]): ReadonlySet<string> {
  const keys = documents.flatMap((document) => (document.kind === 'keys' ? document.keys : []))
  return new Set(keys.flatMap(({ secret }) => ('file' in secret ? [resolve(secret.file)] : [])))
}
