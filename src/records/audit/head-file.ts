// The head of an audit chain in a file beside it, so that a new file goes on where the one before ended, although it was moved away while nothing ran.

import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { genesis, type ChainHead } from './chain.ts'

const end = '.head'

/** Where the head of a log in a file is noted. */
export function headFileOf(log: string): string {
  return `${log}${end}`
}

/** Whether a file is such a note, by its name and by what it holds: a shell's pattern for a log names it as well. */
export function isHeadFile(file: string): boolean {
  return [end, `${end}.new`].some((each) => file.endsWith(each)) && readHead(file).seq > 0
}

/** The beginning of a chain where nothing readable is noted. */
export function readHead(file: string): ChainHead {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof value === 'object' && value !== null && 'seq' in value && 'hash' in value) {
      const { seq, hash } = value
      if (
        typeof seq === 'number' &&
        Number.isSafeInteger(seq) &&
        seq > 0 &&
        typeof hash === 'string' &&
        /^[0-9a-f]{64}$/.test(hash)
      )
        return { seq, hash }
    }
  } catch {
    // None was noted yet.
  }
  return { seq: 0, hash: genesis }
}

/** Notes it whole or not at all. A note that fails costs a chain that begins anew after a rotation without a process, and says so. */
export function writeHead(file: string, { seq, hash }: ChainHead): void {
  try {
    writeFileSync(`${file}.new`, `${JSON.stringify({ seq, hash })}\n`, { mode: 0o640 })
    renameSync(`${file}.new`, file)
  } catch {
    // The lines themselves are on the disk.
  }
}
