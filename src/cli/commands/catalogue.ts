// `catalogue`: finds operations by any word of their id, address, permission or summary.

import { existsSync } from 'node:fs'
import { counted } from '../../config/plural.ts'
import { devinApi, type DocumentationSource } from '../../catalogue/data.ts'
import { loadCatalogue, type CatalogueSettings } from '../../catalogue/load.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { nearest } from '../../config/nearest.ts'
import { usualStability } from '../../config/schema.ts'
import type { Command, Invocation } from '../invocation.ts'
import { configFile, namedConfig, configOf, configOption } from '../setup.ts'

export const catalogueCommand: Command = {
  usage: 'catalogue [TEXT] [--config F]',
  summary: 'find operations: id, method, path, scope, permission, cache class',
  positionals: Infinity,
  options: configOption,
  async run(invocation) {
    const { catalogue } = await loadCatalogue(await settingsOf(invocation))
    const texts = catalogue.operations.map(haystack)
    const asked = invocation.positionals.flatMap((written) => written.split(/\s+/).filter(Boolean))
    const words = asked.map((written) => {
      const word = written.toLowerCase()
      if (texts.some((text) => text.includes(word))) return word
      const near = nearest(word, new Set(texts.flatMap((text) => text.split(/[^a-z0-9_]+/))))
      invocation.tell(
        `no operation is described by "${written}"${near === null ? '' : `; these are described by "${near}"`}`,
      )
      return near ?? word
    })
    const found = catalogue.operations.filter((_, index) =>
      words.every((word) => texts[index]?.includes(word) === true),
    )
    if (found.length === 0 && words.length > 1) {
      const near = withMostOf(words, texts).map((index) => catalogue.operations[index]?.id ?? '')
      if (near.length > 0)
        invocation.tell(`no operation has all of these words; these have most of them: ${near.join(', ')}`)
    }
    if (invocation.json)
      invocation.print(
        JSON.stringify(found.map((operation) => ({ ...view(operation), served: catalogue.isServed(operation) }))),
      )
    else {
      const { paint } = invocation
      for (const operation of found) {
        const served = catalogue.isServed(operation) ? '' : paint('yellow', ` (${operation.stability}, not served)`)
        invocation.printText(
          `${paint('bold', operation.id)}${served}\n    ${operation.method} ${operation.template}\n    ${operation.scope} scope, ${permissionText(operation)}, cache ${operation.cache}${operation.idempotent ? ', takes an Idempotency-Key' : ''}${doubtOf(operation)}`,
        )
      }
      invocation.print(paint('dim', `${found.length} of ${counted(catalogue.operations.length, 'operation')}`))
    }
    return found.length > 0 ? 0 : 1
  },
}

/** Of which texts most of the words are, each as a whole, the singular for the plural. A few, or none where no word tells. */
function withMostOf(words: readonly string[], texts: readonly string[]): readonly number[] {
  const telling = words.filter((word) => word.length > 3)
  const counts = texts.map((text) => {
    const own = new Set(text.split(/[^a-z0-9]+/).flatMap((word) => [word, word.replace(/s$/, '')]))
    return telling.filter((word) => own.has(word) || own.has(word.replace(/s$/, ''))).length
  })
  const most = Math.max(0, ...counts)
  return most === 0 ? [] : [...counts.keys()].filter((index) => counts[index] === most).slice(0, 8)
}

/** Without a configuration the command shows the built-in catalogue. */
async function settingsOf(invocation: Invocation): Promise<CatalogueSettings> {
  const file = configFile(invocation)
  if (namedConfig(invocation) === null && !existsSync(file)) return { stability: usualStability, files: [] }
  return (await configOf(invocation)).config.catalogue
}

function haystack(operation: Operation): string {
  return [
    operation.id,
    operation.method,
    operation.template,
    operation.scope,
    operation.permission ?? '',
    ...operation.alternatives,
    operation.summary,
    operation.cache,
    operation.idempotent ? 'idempotency-key' : '',
  ]
    .join(' ')
    .toLowerCase()
}

function permissionText({ permission, permissionBasis, alternatives, conditional }: Operation): string {
  const base =
    permission === null
      ? 'no documented permission'
      : `${permission}${permissionBasis === 'inferred' ? ' (inferred)' : ''}`
  const other = alternatives.length === 0 ? '' : `, other pages: ${alternatives.join(', ')}`
  const extra = conditional.map((each) => `, ${each.permission} when ${each.field} is ${each.when}`).join('')
  return base + other + extra
}

/** The operation under the names of the catalogue's file. */
function view(operation: Operation): Record<string, unknown> {
  return {
    id: operation.id,
    method: operation.method,
    path: operation.template,
    scope: operation.scope,
    permission: operation.permission,
    permission_basis: operation.permissionBasis,
    alternatives: operation.alternatives,
    conditional: operation.conditional,
    cache: operation.cache,
    stability: operation.stability,
    sensitive: operation.sensitive,
    slashes: operation.slashes,
    invalidates: operation.invalidates,
    idempotent: operation.idempotent,
    summary: operation.summary,
    source: operation.source,
    documentation: documentationOf(operation),
  }
}

/** A remark where no public page is known to name the operation, or a part of it. */
function doubtOf(operation: Operation): string {
  const found = documentationOf(operation)
  if (found === null) return ''
  if (found.seen === 'unconfirmed') return ', on no public page'
  return found.unconfirmed.length === 0 ? '' : `\n    unconfirmed: ${found.unconfirmed.join(', ')}`
}

interface Documentation {
  readonly page: string | null
  readonly seen: DocumentationSource
  readonly unconfirmed: readonly string[]
}

/** Where the operation is documented, and what of it is not; null for operations of extension files. */
function documentationOf({ id, source }: Operation): Documentation | null {
  const entry = source === 'catalogue' ? devinApi.operations.find((each) => each.id === id) : undefined
  return entry === undefined ? null : { page: entry.doc_url, seen: entry.source, unconfirmed: entry.unconfirmed }
}
