// The journals of rotations: one small file for each key, replaced whole before each step. They hold no value of a key.

import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import { replaceFile } from '../../config/values/writing.ts'
import type { CreatedKey, KnownKey, Rotation, RotationNote, RotationPhase } from './rotation.ts'

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

/** The rotation that a text describes; null for anything else. */
function rotationIn(text: string): Rotation | null {
  try {
    const found = JSON.parse(text) as Readonly<Record<keyof Rotation | 'form', unknown>>
    const isWhole =
      found.form === form &&
      [found.id, found.key, found.serviceUser, found.by].every(isText) &&
      [found.beganAtMs, found.failures].every(isNumber) &&
      [found.endedAtMs, found.lifetimeMs].every((each) => each === null || isNumber(each)) &&
      [found.fresh, found.reason].every((each) => each === null || isText(each)) &&
      phases.some((phase) => phase === found.phase) &&
      isKnownKey(found.old) &&
      isListOf(found.created, isCreatedKey) &&
      isListOf(found.notes, isNote) &&
      (found.fault === null || isNote(found.fault))
    const { form: _form, ...rotation } = found
    return isWhole ? (rotation as unknown as Rotation) : null
  } catch {
    return null
  }
}

const phases: readonly RotationPhase[] = [
  'creating',
  'writing',
  'trying',
  'settling',
  'revoking',
  'undoing',
  'done',
  'undone',
]

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isListOf(value: unknown, isOne: (each: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne)
}

function isKnownKey(value: unknown): value is KnownKey {
  const { apiKeyId, fingerprint } = (value ?? {}) as Partial<Record<keyof KnownKey, unknown>>
  return isText(apiKeyId) && isText(fingerprint)
}

function isCreatedKey(value: unknown): value is CreatedKey {
  const { sealedOld } = (value ?? {}) as Partial<Record<keyof CreatedKey, unknown>>
  return isKnownKey(value) && (sealedOld === null || isText(sealedOld))
}

function isNote(value: unknown): value is RotationNote {
  const { atMs, text } = (value ?? {}) as Partial<Record<keyof RotationNote, unknown>>
  return isNumber(atMs) && isText(text)
}
