// The folders that the gateway writes to: room, rights, and whether what is written lasts.

import { constants } from 'node:fs'
import { access, open, rm, stat, statfs } from 'node:fs/promises'
import path from 'node:path'
import type { Config } from '../../config/load.ts'
import { codeInWords, errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'

/** A folder, what is kept in it, and how much depends on it. */
interface Place {
  readonly folder: string
  readonly files: readonly string[]
  readonly keeps: readonly string[]
  /** It has to outlive a restart. */
  readonly isLasting: boolean
  /** Without it something is refused. */
  readonly isNeeded: boolean
}

/** One examination for each folder. `keepsBudgets`: the policies have budgets. */
export function diskExaminations(config: Config, keepsBudgets: boolean): readonly Examination[] {
  return placesOf(config, keepsBudgets).map((place) => ({
    area: 'disk',
    about: place.folder,
    examine: (found) => examinePlace(found, place, config),
  }))
}

function placesOf(
  { records, budgets, blocksFile, checkpoints, store }: Config,
  keepsBudgets: boolean,
): readonly Place[] {
  const all: { file: string; keeps: string; isLasting: boolean; isNeeded: boolean }[] = []
  for (const [stream, file] of Object.entries(records))
    if (path.isAbsolute(file))
      all.push({ file, keeps: `records.${stream}`, isLasting: stream === 'audit', isNeeded: true })
  if (keepsBudgets && store === null)
    all.push({ file: budgets.journalFile, keeps: 'the journal of budgets', isLasting: true, isNeeded: true })
  all.push({ file: blocksFile, keeps: 'blocked callers', isLasting: store === null, isNeeded: false })
  for (const target of checkpoints?.targets ?? [])
    if (target.kind === 'file')
      all.push({ file: target.file, keeps: 'checkpoints of the audit log', isLasting: true, isNeeded: true })
  const places = new Map<string, Place>()
  for (const { file, keeps, isLasting, isNeeded } of all) {
    const folder = path.dirname(file)
    const before = places.get(folder)
    places.set(folder, {
      folder,
      files: [...(before?.files ?? []), file],
      keeps: [...(before?.keeps ?? []), keeps],
      isLasting: isLasting || before?.isLasting === true,
      isNeeded: isNeeded || before?.isNeeded === true,
    })
  }
  return [...places.values()]
}

async function examinePlace(found: Findings, place: Place, config: Config): Promise<void> {
  const { folder, files, keeps, isNeeded } = place
  const all = await Promise.all(files.map((file) => stat(file).catch(() => null)))
  // Nothing is kept in the folder of a device or a pipe, like /dev/stdout.
  if (all.every((each) => each !== null && !each.isFile() && !each.isDirectory())) {
    for (const file of files) await addFile(found, file, config)
    return
  }
  const what = keeps.join(', ')
  const status = await stat(folder).catch((error: unknown) => whyUnreadable(error, 'folder'))
  if (typeof status === 'string') {
    await addSpace(found, { ...place, folder: await addMissing(found, place, status) })
    return
  }
  await addUser(found, folder, [status.uid, ...(await ownersOf(files))])
  const fault = await writeFault(folder)
  if (fault === 'ENOSPC' || fault === 'EDQUOT')
    found.error(
      'full',
      `There is no room left in ${folder}, where ${what} go (${codeInWords(fault)}).`,
      'Make room, or move what fills the disk.',
    )
  else if (fault !== null) {
    const message = `Nothing can be written to ${folder}, where ${what} should go: ${fault}.`
    const action = 'Give the user of the gateway the right to write there, or name another folder.'
    if (isNeeded) found.error('writable', message, action)
    else found.warning('writable', `${message} Blocks of callers would not outlive a restart.`, otherPlace)
  } else found.ok('writable', `takes files and keeps them (fsync), for ${what}`)
  for (const file of files) await addFile(found, file, config)
  await addSpace(found, place)
}

const otherPlace =
  'Give the user of the gateway the right to write there, or name a file in another folder as budgets.journal: blocks are kept beside it.'

/** Returns the folder that is there. */
async function addMissing(found: Findings, { folder, keeps, isNeeded }: Place, why: string): Promise<string> {
  const above = await existingAbove(folder)
  const mayCreate = await access(above, constants.W_OK).then(
    () => true,
    () => false,
  )
  if (mayCreate) found.ok('writable', `is made at the start, in ${above}`)
  else if (isNeeded)
    found.error(
      'writable',
      `The folder ${folder} cannot be used: ${why}. ${keeps.join(', ')} should go there.`,
      `Make it, for the user of the gateway: this user may not, in ${above}.`,
    )
  else
    found.skipped(
      'writable',
      `The folder ${folder} cannot be used: ${why}. Blocks of callers would not outlive a restart.`,
    )
  return above
}

async function existingAbove(folder: string): Promise<string> {
  const above = path.dirname(folder)
  if (above === folder) return above
  return (await stat(above).catch(() => null)) === null ? await existingAbove(above) : above
}

async function ownersOf(files: readonly string[]): Promise<readonly number[]> {
  const all = await Promise.all(files.map((file) => stat(file).catch(() => null)))
  return all.flatMap((status) => (status === null ? [] : [status.uid]))
}

/** What root may do says nothing of what the gateway may do. */
async function addUser(found: Findings, folder: string, owners: readonly number[]): Promise<void> {
  const other = owners.find((uid) => uid !== 0)
  if (process.getuid?.() !== 0 || other === undefined) return
  found.warning(
    'user',
    `This is examined as root, and ${folder} belongs to the user with the id ${other}: what root may write says nothing about that user.`,
    `Run it as that user: sudo -u '#${other}' devin-gateway doctor`,
  )
}

/** Writes a small file, has it written to the disk, and removes it. The code of a full disk, or words; null where all is well. */
async function writeFault(folder: string): Promise<string | null> {
  const file = path.join(folder, `.devin-gateway-doctor-${process.pid}`)
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(Buffer.alloc(64 * 1024))
      await handle.sync()
    } finally {
      await handle.close()
    }
    return null
  } catch (error) {
    const code = errorCode(error)
    return code === 'ENOSPC' || code === 'EDQUOT' ? code : whyUnreadable(error, 'folder')
  } finally {
    await rm(file, { force: true }).catch(() => {})
  }
}

const largeBytes = 1024 ** 3

async function addFile(found: Findings, file: string, { recordRotation, records }: Config): Promise<void> {
  const status = await stat(file).catch(() => null)
  if (status === null) return
  if (status.isDirectory()) {
    found.error('file', `${file} is a folder, where a file should be.`, 'Name a file in it.', file)
    return
  }
  // Without waiting: a pipe may have no reader.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK
  const handle = await open(file, flags).catch((error: unknown) => whyUnreadable(error))
  if (typeof handle === 'string')
    found.error(
      'file',
      `${file} cannot be written to: ${handle}.`,
      'Give it to the user of the gateway, or move it away.',
      file,
    )
  else {
    await handle.close()
    if (!status.isFile()) found.ok('file', `${file} takes lines`, file)
  }
  if (status.size > largeBytes && recordRotation === null && Object.values(records).includes(file))
    found.warning(
      'rotation',
      `${file} has ${sizeOf(status.size)}, and nothing here rotates it.`,
      'Set records.rotate, or rotate it by logrotate and reload.',
      file,
    )
}

const leastBytes = 64 * 1024 ** 2
const fewBytes = 1024 ** 3
const enoughBytes = 20 * 1024 ** 3
/** Numbers of file systems in `statfs`. */
const inMemory: readonly number[] = [0x01_02_19_94, 0x85_84_58_f6]
const ofContainer = 0x79_4c_76_30

async function addSpace(found: Findings, { folder, isLasting, keeps }: Place): Promise<void> {
  const { bavail, blocks, bsize, files, ffree, type } = await statfs(folder)
  const [free, all] = [bavail * bsize, blocks * bsize]
  const share = all === 0 ? 100 : Math.floor((free / all) * 100)
  const left = `${sizeOf(free)} are left (${share} %)`
  const action = 'Make room, set records.rotate with keep or keep_size, or move the records to a larger disk.'
  if (free < leastBytes) found.error('space', `The disk of ${folder} is full: ${left}.`, action)
  else if (free < fewBytes || (share < 10 && free < enoughBytes))
    found.warning('space', `The disk of ${folder} is nearly full: ${left}.`, action)
  else found.ok('space', left)
  if (files > 0 && ffree < files / 100)
    found.error(
      'inodes',
      `The file system of ${folder} has no room for more files: ${ffree} of ${files} are left.`,
      'Remove files that nobody needs.',
    )
  const isInMemory = inMemory.includes(type)
  if (isLasting && (isInMemory || type === ofContainer))
    found.warning(
      'lasting',
      `${folder} ${isInMemory ? 'is in memory' : 'is a layer of the container'}: ${keeps.join(', ')} ${keeps.length === 1 ? 'is' : 'are'} gone when ${isInMemory ? 'the machine restarts' : 'the container is replaced'}.`,
      'Put it on a volume that stays.',
    )
}

function sizeOf(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const amount = bytes / 1024 ** power
  return `${amount < 10 ? Math.round(amount * 10) / 10 : Math.round(amount)} ${units[power] ?? ''}`
}
