// The journals of rotations: one small file for each key, replaced whole before each step. They hold no value of a key.

import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import { replaceFile } from '../../config/values/writing.ts'
import type { Rotation } from './rotation.ts'

const form = 1
const ending = '.rotation.json'

/** The file of a key's journal. Ids of keys hold no separators. */
export function journalFile(folder: string, key: string): string {
  return path.join(folder, `${key}${ending}`)
}

/** The latest rotation of a key; null where there was none. Rejects with a sentence for a file that cannot be read whole. */
export async function readJournal(folder: string, key: string): Promise<Rotation | null> {
  const file = journalFile(folder, key)
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null
    throw new Error(`the journal ${file} cannot be read: ${whyUnreadable(error)}`, { cause: error })
  })
  if (text === null) return null
  const rotation = rotationIn(text)
  if (rotation?.key !== key)
    throw new Error(
      `${file} is no journal that this version can read: repair it. Without it nobody knows which keys a rotation has left at Devin; their names begin with "devin-gateway rotation"`,
    )
  return rotation
}

/** The latest rotation of every key that has one. Files that cannot be read are left out. */
export async function readJournals(folder: string): Promise<readonly Rotation[]> {
  const names = await readdir(folder).catch(() => [])
  const keys = names.filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length))
  const found = await Promise.all(keys.map((key) => readJournal(folder, key).catch(() => null)))
  return found.filter((rotation) => rotation !== null)
}

/** It is on the disk when this resolves. Rejects with a sentence, and the file is as before then. */
export async function writeJournal(folder: string, rotation: Rotation): Promise<void> {
  const file = journalFile(folder, rotation.key)
  await replaceFile(file, `${JSON.stringify({ form, ...rotation }, null, 2)}\n`, 0o600).catch((error: unknown) => {
    throw new Error(`${file}: ${whyUnreadable(error)}`, { cause: error })
  })
}

const text = z.string().min(1)
const knownKey = z.object({ apiKeyId: text, fingerprint: text })
const note = z.object({ atMs: z.number(), text })
const rotationSchema: z.ZodType<Rotation & { readonly form: typeof form }> = z.looseObject({
  form: z.literal(form),
  id: text,
  key: text,
  serviceUser: text,
  by: text,
  beganAtMs: z.number(),
  endedAtMs: z.number().nullable(),
  phase: z.enum(['creating', 'writing', 'trying', 'settling', 'revoking', 'undoing', 'done', 'undone']),
  old: knownKey,
  created: z.array(knownKey.extend({ sealedOld: text.nullable() })),
  fresh: text.nullable(),
  lifetimeMs: z.number().nullable(),
  reason: text.nullable(),
  fault: note.nullable(),
  failures: z.number(),
  notes: z.array(note),
})

/** The rotation that a text describes; null for anything else. */
function rotationIn(content: string): Rotation | null {
  try {
    const { form: _form, ...rotation } = rotationSchema.parse(JSON.parse(content))
    return rotation
  } catch {
    return null
  }
}
