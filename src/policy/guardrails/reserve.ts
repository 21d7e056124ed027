// Reserved prefixes: `team:payments` says for whom a session ran, and no caller may set it for another team. Prefixes
// are compared as leniently as names.

import { beginsLike } from '../../catalogue/name-folding.ts'
import { isJsonObject, type StrictJson } from '../../json/value.ts'
import type { CallerAttributes, ValueTemplate } from './attributes.ts'
import type { BoundField, BoundRule, ReservedText } from './guardrail.ts'

/** Compiles `team:` or `team:${team}`; the template is of the whole. Null when nothing is left to reserve. */
export function reservationOf(written: string, template: ValueTemplate): ReservedText | null {
  const [beginning = ''] = written.split('${')
  if (!beginsLike(beginning, beginning)) return null
  return { beginning, own: beginning === written ? null : template }
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
  const items: readonly StrictJson[] = Array.isArray(value) ? value : [value]
  for (const [index, each] of items.entries()) {
    const item = Array.isArray(value) ? index : null
    if (Array.isArray(each) || isJsonObject(each)) return { by: first.by, item, clause: 'must be a text' }
    if (typeof each !== 'string' || own.has(each)) continue
    const pieces = piecesOf(each)
    const broken = reserved.find(({ reservation: { beginning } }) =>
      pieces.some((piece) => beginsLike(piece, beginning)),
    )
    if (broken === undefined) continue
    const clause = `must not begin with ${broken.reservation.beginning}, which the gateway alone gives`
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

/** Some readers take one text for a list. */
function piecesOf(text: string): readonly string[] {
  return /[,;|\n\r]/.test(text) ? [text, ...text.split(/[,;|\n\r]/)] : [text]
}
