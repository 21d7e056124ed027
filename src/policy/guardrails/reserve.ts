// Reserved prefixes: `team:payments` says for whom a session ran, and no caller may set it for another team. Prefixes
// are compared as leniently as names.

import { beginsLike, foldedBeginning, piecesLike } from '../../catalogue/name-folding.ts'
import { isJsonObject, type StrictJson } from '../../json/value.ts'
import type { CallerAttributes, ValueTemplate } from './attributes.ts'
import type { BoundField, BoundRule, ReservedText } from './guardrail.ts'

/** Compiles `team:` or `team:${team}`; the template is of the whole. Null when nothing is left to reserve. */
export function reservationOf(written: string, template: ValueTemplate): ReservedText | null {
  const [beginning = ''] = written.split('${')
  const folded = foldedBeginning(beginning)
  if (folded === null) return null
  return { beginning, folded, pieces: piecesLike(folded, separators), own: beginning === written ? null : template }
}

/** A text that the caller must not send. */
export interface BrokenReservation {
  readonly by: BoundRule
  /** Index in the list; null: the value itself. */
  readonly item: number | null
  readonly clause: string
}

/** The first text that begins with what is reserved, or value in which such a text could hide; null when there is none. */
export function brokenReservation(
  bounds: BoundField,
  value: StrictJson,
  caller: CallerAttributes,
): BrokenReservation | null {
  const { reserved } = bounds
  const [first] = reserved
  if (first === undefined || value === null) return null
  const own = ownTexts(bounds, caller)
  let foldsLeft = mostFolds
  const mayFold = (): boolean => (foldsLeft -= 1) >= 0
  const items: readonly StrictJson[] = Array.isArray(value) ? value : [value]
  for (const [index, each] of items.entries()) {
    const item = Array.isArray(value) ? index : null
    if (Array.isArray(each) || isJsonObject(each)) return { by: first.by, item, clause: 'must be a text' }
    if (typeof each !== 'string' || own.has(each)) continue
    const broken = reserved.find(({ reservation }) => hidesBeginning(each, reservation, mayFold))
    if (broken === undefined) continue
    const clause =
      foldsLeft < 0
        ? `is beyond the ${mostFolds} characters outside ASCII of a field that are compared with what is reserved`
        : `must not begin with ${broken.reservation.beginning}, which the gateway alone gives`
    return { by: broken.by, item, clause }
  }
  return null
}

/** What the rules on the field give this caller. */
function ownTexts({ rules, reserved }: BoundField, caller: CallerAttributes): ReadonlySet<StrictJson> {
  const templates = [
    ...rules.flatMap(({ rule }) => rule.add),
    ...reserved.flatMap(({ reservation }) => reservation.own ?? []),
  ]
  return new Set(
    templates.flatMap((template) => {
      const filled = template.for(caller)
      return 'value' in filled ? [filled.value] : []
    }),
  )
}

/** They take long to compare, and callers choose how many there are. */
const mostFolds = 4096

/** Whether the text begins like that, or a piece of it: some readers take one text for a list. */
function hidesBeginning(text: string, { folded, pieces }: ReservedText, mayFold: () => boolean): boolean {
  if (beginsLike(text, folded, 0, text.length, mayFold)) return true
  pieces.lastIndex = 0
  for (let found = pieces.exec(text); found !== null; found = pieces.exec(text)) {
    const start = found.index + 1
    if (beginsLike(text, folded, start, endOfPiece(text, start), mayFold)) return true
  }
  return false
}

function endOfPiece(text: string, start: number): number {
  separator.lastIndex = start
  return separator.exec(text)?.index ?? text.length
}

const separators = ',;|\n\r'
const separator = new RegExp(`[${separators}]`, 'g')
