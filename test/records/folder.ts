// A folder for the files of one test, gone when the test has ended.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** Gives the path of a file in a fresh folder. */
export function freshFolder(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-records-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return (name) => join(folder, name)
}

/** The lines of a file, parsed. */
export function readJsonLines(path: string): Record<string, unknown>[] {
  return linesOf(path).map((line) => JSON.parse(line) as Record<string, unknown>) // objects by what is written here
}

/** The lines of a file that ends with a line feed. */
export function linesOf(path: string): string[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  if (lines.pop() !== '') throw new Error(`${path} ends in the middle of a line`)
  return lines
}
