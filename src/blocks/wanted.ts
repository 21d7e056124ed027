// What operators ask for, read strictly: a block that means something else than its author is worse than none.

import { didYouMean } from '../config/nearest.ts'
import { parseDuration, quoted } from '../config/units.ts'
import { blockKinds, longestText, longestValue, type Block, type BlockKind } from './block.ts'

export type WantedBlock = Pick<Block, 'kind' | 'value' | 'reason' | 'note' | 'by'> & {
  /** How long, milliseconds; null: until somebody ends it. */
  readonly forMs: number | null
}

/** Who is meant. */
export type BlockTarget = Pick<Block, 'kind' | 'value'>

/** `field`: which one of the fields is wrong. */
export type Read<T> = { readonly value: T } | { readonly field: string; readonly error: string }

const fields = ['kind', 'value', 'for', 'reason', 'note', 'by']
const shortestMs = 1_000
const longestMs = 366 * 86_400_000

/** Reads `kind`, `value`, `for`, `reason`, `note` and `by`. `asker`: who asks, where `by` does not say it. */
export function readWanted(asked: Readonly<Record<string, unknown>>, asker: string): Read<WantedBlock> {
  const target = readBlockTarget(asked, fields)
  if ('error' in target) return target
  const forMs = readFor(asked['for'])
  if (typeof forMs === 'object' && forMs !== null) return forMs
  const reason = readLine('reason', asked['reason'])
  if (typeof reason === 'object') return reason
  if (reason === '')
    return { field: 'reason', error: 'say why: blocked callers are shown the reason, and the audit log keeps it' }
  const note = readLine('note', asked['note'])
  if (typeof note === 'object') return note
  const by = readLine('by', asked['by'])
  if (typeof by === 'object') return by
  return {
    value: { ...target.value, forMs, reason, note: note === '' ? null : note, by: by === '' ? asker : by },
  }
}

/** Reads `kind` and `value`; `known`: the fields there may be. */
export function readBlockTarget(
  asked: Readonly<Record<string, unknown>>,
  known: readonly string[] = ['kind', 'value', 'by'],
): Read<BlockTarget> {
  const stray = Object.keys(asked).find((name) => !known.includes(name))
  if (stray !== undefined)
    return { field: stray, error: `there is no field ${quoted(stray)}${didYouMean(stray, known)}` }
  const kind = readKind(asked['kind'])
  if (typeof kind === 'object') return kind
  const { value } = asked
  if (typeof value !== 'string' || value === '')
    return { field: 'value', error: `say which ${kind}: the value as tokens or policies spell it` }
  if (value.length > longestValue)
    return { field: 'value', error: `the value has more than ${longestValue} characters` }
  return { value: { kind, value } }
}

function readKind(written: unknown): BlockKind | { field: string; error: string } {
  const kinds = blockKinds.join(', ')
  if (typeof written !== 'string' || written === '') return { field: 'kind', error: `say what kind: ${kinds}` }
  const known = blockKinds.find((each) => each === written)
  return (
    known ?? {
      field: 'kind',
      error: `unknown kind ${quoted(written)}${didYouMean(written, blockKinds) || ';'} the kinds are ${kinds}`,
    }
  )
}

function readFor(written: unknown): number | null | { field: string; error: string } {
  if (written === undefined || written === null) return null
  const parsed = parseDuration(typeof written === 'string' ? written : JSON.stringify(written))
  if ('error' in parsed) return { field: 'for', error: parsed.error }
  if (parsed.value < shortestMs || parsed.value > longestMs)
    return { field: 'for', error: `a block lasts from 1s to 366d; without it, until somebody ends it` }
  return parsed.value
}

/** One line without its outer spaces; empty where there is none. */
function readLine(field: string, written: unknown): string | { field: string; error: string } {
  if (written === undefined || written === null) return ''
  if (typeof written !== 'string') return { field, error: 'it is a text' }
  const line = written.trim()
  if (/\p{Cc}/u.test(line)) return { field, error: 'it is one line, without control characters' }
  if (line.length > longestText) return { field, error: `it has more than ${longestText} characters` }
  return line
}
