// Errors and rights of the file system in words, for messages about files that people name.

import { stat } from 'node:fs/promises'

/** The code of an error of the system, like `ENOENT`; null for an error without one. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error ? String(error.code) : null
}

/** The code of an error of the system; of any other error its text. */
export function codeOrText(error: unknown): string {
  return errorCode(error) ?? String(error)
}

/** Why a file or folder cannot be read or written, as the end of a sentence. */
export function whyUnreadable(error: unknown, what: 'file' | 'folder' = 'file'): string {
  const code = errorCode(error) ?? 'unknown error'
  return faultOf(code, what) ?? code
}

/** An error code as the end of a sentence; null for one that is not of the file system. */
export function faultOf(code: string, what: 'file' | 'folder' = 'file'): string | null {
  return code === 'ENOENT' ? `there is no such ${what}` : (plainErrors[code] ?? null)
}

/** The message of an error; of one of the file system, the path and the fault in words, without codes and calls. */
export function messageOf(error: unknown): string {
  const words = faultOf(errorCode(error) ?? '')
  if (words !== null) return error instanceof Error && 'path' in error ? `${String(error.path)}: ${words}` : words
  return error instanceof Error ? error.message : 'it failed for a reason that is no error'
}

/** What to say of a file with a secret that other users of this machine may read; null where they may not. */
export async function openToOthers(file: string): Promise<string | null> {
  if (process.platform === 'win32') return null
  const mode = (await stat(file).catch(() => null))?.mode ?? 0
  return mode % 8 >= 4 ? `other users of this machine may read ${file}: chmod o-rwx takes that away` : null
}

/** Whether a file is missing, or only for another user: elsewhere it may be readable. */
export function isOutOfReach(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM'
}

const plainErrors: Readonly<Record<string, string>> = {
  ENOTDIR: 'a part of the path is a file, not a folder',
  EACCES: 'permission denied to this user',
  EPERM: 'permission denied to this user',
  EISDIR: 'it is a directory',
  EEXIST: 'a file of that name is in the way',
  ELOOP: 'its links lead back to themselves',
  EMFILE: 'this process has too many files open',
  ENAMETOOLONG: 'its name is too long',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  EROFS: 'the file system is read-only',
  EIO: 'the disk cannot be read or written',
  Z_BUF_ERROR: 'the compressed file ends early',
  Z_DATA_ERROR: 'the compressed file is damaged',
  ZSTD_error_srcSize_wrong: 'the compressed file ends early',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
}

/** An error code with its words, for logs that are searched for the code. */
export function codeInWords(code: string): string {
  const words = faultOf(code, 'folder')
  return words === null ? code : `${code}: ${words}`
}
