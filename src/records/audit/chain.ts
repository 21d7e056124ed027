// The hash chain over audit lines, and its check. Pure: no files, no clock.
//
// A line is JSON in ASCII (everything else as \uXXXX), with these members in this order and no white space between them:
//   {"seq":1,"time":…,"event":…,"actor":…,"details":{…},"previous":"<64 hex>","hash":"<64 hex>"}
// `hash` is the SHA-256 of the line's own bytes with the member `,"hash":"…"` cut out, so it can be checked without any
// JSON library: sed -E 's/,"hash":"[0-9a-f]{64}"}$/}/' | tr -d '\n' | sha256sum. `previous` is the hash of the line before.
// The chain has no key: it shows changes as long as one later hash is known elsewhere (the log prints them; `--head` takes one).

import { createHash } from 'node:crypto'
import { isObject } from '../../json/untyped.ts'
import type { AuditEntry } from '../entries.ts'

/** `previous` of the first line of a chain. */
export const genesis = '0'.repeat(64)

/** Event of a line that explains a seam: an unfinished line before it, or a file that follows another one. */
export const segmentEvent = 'audit.segment-started'

/** Where a chain stands: number and hash of its last line; 0 and `genesis` before the first. */
export interface ChainHead {
  readonly seq: number
  readonly hash: string
}

/** One line, ready to be written: `text` has no line break. */
export interface ChainLine extends ChainHead {
  readonly text: string
}

/** Makes the line that follows `previousHash`. `details` must be plain JSON data; members keep the order they have. */
export function chainLine(previousHash: string, seq: number, entry: AuditEntry): ChainLine {
  const { time, event, actor, details } = entry
  const body = ascii(JSON.stringify({ seq, time, event, actor, details, previous: previousHash }))
  const hash = sha256(body)
  return { seq, hash, text: `${body.slice(0, -1)},"hash":"${hash}"}` }
}

/** What `readChainLine` finds: a line, text that is no JSON object at all (a line cut off by a crash), or a forgery. */
export type ReadLine =
  | {
      readonly kind: 'line'
      readonly seq: number
      readonly hash: string
      readonly previous: string
      readonly torn: Torn | null
      /** The end of the file before, where a segment line names it. */
      readonly follows: ChainHead | null
    }
  | { readonly kind: 'cut-off' }
  | { readonly kind: 'foreign'; readonly problem: string }

/** Unfinished lines that a segment line vouches for: how many, and the SHA-256 of them joined by line feeds. */
export interface Torn {
  readonly lines: number
  readonly sha256: string
}

/** Reads one line by itself: its form and its own hash, not its place in the chain. */
export function readChainLine(text: string): ReadLine {
  const parsed = parseJson(text)
  // Every proper prefix of a JSON object is invalid JSON, so text that parses was never cut off by a crash.
  if (parsed === null) return { kind: 'cut-off' }
  const { seq, previous } = parsed
  const hash = /,"hash":"([0-9a-f]{64})"\}$/.exec(text)?.[1]
  if (hash === undefined || typeof seq !== 'number' || typeof previous !== 'string') {
    return { kind: 'foreign', problem: 'is JSON, but no line of an audit log' }
  }
  if (sha256(`${text.slice(0, -hashMemberLength)}}`) !== hash) {
    return { kind: 'foreign', problem: 'was changed: its hash does not fit what it says' }
  }
  return { kind: 'line', seq, hash, previous, torn: tornOf(parsed), follows: followsOf(parsed) }
}

const hashMemberLength = ',"hash":""}'.length + genesis.length

/** Describes unfinished lines for the segment line that follows them. */
export function describeTorn(lines: readonly string[]): Torn {
  return { lines: lines.length, sha256: sha256(lines.join('\n')) }
}

/** What is wrong with a line; they count from 1. */
export interface ChainFault {
  readonly line: number
  readonly problem: string
}

/** Takes the lines of one file. Where the first of them follows another file's, it belongs there. */
export class ChainCheck {
  #number = 0
  #entries = 0
  #head: ChainHead = { seq: 0, hash: genesis }
  #cutOff: string[] = []
  #start: { readonly before: ChainHead; readonly follows: ChainHead | null } | null = null
  readonly #tornLines: number[] = []

  get head(): ChainHead {
    return this.#head
  }

  get entries(): number {
    return this.#entries
  }

  /** Numbers of the lines that a crash cut off and a segment line explains; nothing was removed there. */
  get tornLines(): readonly number[] {
    return this.#tornLines
  }

  /** What the first line stands behind: the line before by its number, and the end of the file that it names. Null before there is one. */
  get start(): { readonly before: ChainHead; readonly follows: ChainHead | null } | null {
    return this.#start
  }

  take(text: string): ChainFault | null {
    this.#number += 1
    const read = readChainLine(text)
    if (read.kind === 'cut-off') {
      this.#cutOff.push(text)
      return null
    }
    if (read.kind === 'foreign') return this.#unexplained() ?? this.#bad(this.#number, read.problem)
    const problem = this.#placeProblem(read) ?? this.#tornProblem(read.torn)
    if (problem !== null) return this.#unexplained(read.torn) ?? this.#bad(this.#number, problem)
    for (const index of this.#cutOff.keys()) this.#tornLines.push(this.#number - this.#cutOff.length + index)
    this.#cutOff = []
    this.#entries += 1
    this.#start ??= { before: { seq: read.seq - 1, hash: read.previous }, follows: read.follows }
    this.#head = { seq: read.seq, hash: read.hash }
    return null
  }

  /** Null unless the last line is cut off. */
  end(): ChainFault | null {
    if (this.#cutOff.length === 0) return null
    return this.#bad(
      this.#number - this.#cutOff.length + 1,
      'is cut off: the file ends in the middle of a line, or this is no JSON',
    )
  }

  #bad(line: number, problem: string): ChainFault {
    return { line, problem: `line ${line} ${problem}` }
  }

  /** The verdict about unreadable lines that no segment line speaks of; it comes before any about the line after them. */
  #unexplained(torn: Torn | null = null): ChainFault | null {
    if (this.#cutOff.length === 0 || torn !== null) return null
    return this.#bad(this.#number - this.#cutOff.length, 'is no JSON: it was changed or inserted')
  }

  /** Cut-off lines are fine exactly when the line after them vouches for them. */
  #tornProblem(torn: Torn | null): string | null {
    const found = this.#cutOff.length === 0 ? null : describeTorn(this.#cutOff)
    if (torn?.lines === found?.lines && torn?.sha256 === found?.sha256) return null
    if (torn === null) return 'does not explain the unreadable lines before it'
    return `vouches for ${torn.lines} unfinished line(s) before it, and they were removed or changed since`
  }

  #placeProblem({ seq, previous, hash }: ChainHead & { readonly previous: string }): string | null {
    const { seq: last, hash: lastHash } = this.#head
    // A file may begin anywhere in a chain.
    if (last === 0) return seq > 1 || previous === genesis ? null : 'is the first, and its `previous` is not 64 zeros'
    if (hash === lastHash) return 'repeats the line before it'
    if (seq > last + 1)
      return `has seq ${seq} after seq ${last}: ${seq - last - 1} line(s) between them were removed, or moved`
    if (seq < last + 1) return `has seq ${seq} after seq ${last}: lines were reordered, repeated or inserted`
    return previous === lastHash
      ? null
      : `does not belong after seq ${last}: its \`previous\` is another line's hash; one of the two was replaced or inserted`
  }
}

/** The members of an object, no members for any other JSON value, null for text that is no JSON. */
function parseJson(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return null
  }
}

function tornOf({ event, details }: Readonly<Record<string, unknown>>): Torn | null {
  if (event !== segmentEvent || !isObject(details)) return null
  const { torn_lines: lines, torn_sha256: digest } = details
  return typeof lines === 'number' && typeof digest === 'string' ? { lines, sha256: digest } : null
}

function followsOf({ event, details }: Readonly<Record<string, unknown>>): ChainHead | null {
  if (event !== segmentEvent || !isObject(details)) return null
  const { previous_seq: seq, previous_hash: hash } = details
  return typeof seq === 'number' && typeof hash === 'string' ? { seq, hash } : null
}

function ascii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}
