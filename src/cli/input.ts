// Files and standard input that commands read whole.

import { open, type FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { errorCode, faultOf } from '../config/values/file-errors.ts'

/** Reads a file, or standard input for `-`. Throws when it cannot be read or holds more than `most` bytes. */
export async function readInput(name: string, most: number): Promise<string> {
  if (name === '-') return collect(process.stdin, name, most)
  const file = await openFile(name)
  try {
    return await collect(file.createReadStream({ autoClose: false }), name, most)
  } catch (error) {
    throw plainError(name, error)
  } finally {
    await file.close()
  }
}

async function openFile(name: string): Promise<FileHandle> {
  try {
    return await open(name)
  } catch (error) {
    throw plainError(name, error)
  }
}

async function collect(stream: Readable, name: string, most: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > most) throw new Error(`${name === '-' ? 'standard input' : name} holds more than ${most} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** A path may have been made of it: then only one slash is left. */
function isAddress(name: string): boolean {
  return /(^|\/)https?:\/{1,2}[^/]/.test(name)
}

const fetchFirst = 'it is an address, and a file is expected: download it first, or pipe it in and write - in its place'

/** The error of reading a file as a sentence that names it. */
export function plainError(name: string, error: unknown): Error {
  const code = errorCode(error) ?? ''
  const reason = code === 'ENOENT' && isAddress(name) ? fetchFirst : faultOf(code)
  if (reason !== null) return new Error(`${name} cannot be read: ${reason}`)
  return error instanceof Error ? error : new Error(String(error))
}
