// What a command is given and what it is.

import type { ParseArgsOptionDescriptor } from 'node:util'
import type { Painter } from './style.ts'

/** Where a command reads and writes. */
export interface Streams {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly out: NodeJS.WritableStream
  readonly err: NodeJS.WritableStream
  /** Where answers to questions come from; without it nothing is asked. */
  readonly input?: NodeJS.ReadableStream
  /** The command is done: the process ends soon with this code, whatever is still open in it. */
  readonly leave?: (code: number) => void
}

export interface Invocation extends Streams {
  readonly json: boolean
  readonly positionals: readonly string[]
  /** A string option's value, or null. */
  option(name: string): string | null
  /** All values of a repeatable option. */
  list(name: string): readonly string[]
  flag(name: string): boolean
  /** Writes a line to standard output; a line feed in it is written as an escape. */
  print(text: string): void
  /** Writes a text of several lines to standard output. */
  printText(text: string): void
  /** Writes a line to standard error, as `print` does. */
  tell(text: string): void
  /** Colours text for standard output. */
  readonly paint: Painter
}

export interface Command {
  readonly usage: string
  readonly summary: string
  /** The most arguments it takes besides options. */
  readonly positionals: number
  readonly options: Readonly<Record<string, ParseArgsOptionDescriptor & { readonly help: string }>>
  /** Resolves with the exit code. */
  run(invocation: Invocation): Promise<number>
}
