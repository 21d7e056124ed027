// The file that keeps blocks over restarts: all there are without a store, and with one a copy for starts while it is away.

import { readFile } from 'node:fs/promises'
import { fileProblem, Refused } from '../config/diagnostics.ts'
import { errorCode, whyUnreadable } from '../config/values/file-errors.ts'
import { replaceFile } from '../config/values/writing.ts'
import { readBlock, slotOf, type Block } from './block.ts'

/** What the file says. `unsent`: blocks that were made while the store was away, by their slots. */
export interface KeptBlocks {
  readonly blocks: ReadonlyMap<string, Block>
  readonly unsent: ReadonlySet<string>
}

const form = 1

/** Reads the file; null when there is none. Throws `Refused` for one that cannot be read whole: nothing of it is guessed. */
export async function readBlockFile(file: string): Promise<KeptBlocks | null> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null
    throw broken(file, whyUnreadable(error))
  })
  if (text === null) return null
  const entries = entriesOf(text)
  if (entries === null) throw broken(file, 'it is not a file of blocks that this version can read')
  const blocks = new Map<string, Block>()
  const unsent = new Set<string>()
  for (const [index, entry] of entries.entries()) {
    const block = readBlock(entry)
    if (block === null) throw broken(file, `entry ${index + 1} is no block`)
    const slot = slotOf(block.kind, block.value)
    blocks.set(slot, block)
    if ((entry as { unsent?: unknown }).unsent === true) unsent.add(slot)
  }
  return { blocks, unsent }
}

/** Replaces the file: afterwards it holds the old blocks or the new ones, whatever happens meanwhile. */
export async function writeBlockFile(file: string, { blocks, unsent }: KeptBlocks): Promise<void> {
  const entries = [...blocks].map(([slot, { sinceMs: since, untilMs: until, ...block }]) => ({
    ...block,
    since,
    until,
    ...(unsent.has(slot) ? { unsent: true } : {}),
  }))
  await replaceFile(file, `${JSON.stringify({ form, blocks: entries }, null, 2)}\n`, 0o640)
}

function entriesOf(text: string): readonly unknown[] | null {
  try {
    const found = JSON.parse(text) as { form?: unknown; blocks?: unknown } | null
    return found?.form === form && Array.isArray(found.blocks) ? found.blocks : null
  } catch {
    return null
  }
}

function broken(file: string, why: string): Refused {
  const message = `the blocked callers cannot be read: ${why}. Repair the file, or remove it and block them again: without it nobody is blocked`
  return new Refused([fileProblem(file, message)])
}
