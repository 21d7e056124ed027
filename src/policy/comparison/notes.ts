// What a reviewer has to know of two sets beside their differences in rights: rights that end at another time, trials of their
// removal, and rights that no key serves yet. Pure.

import { counted } from '../../config/plural.ts'
import type { Cells } from '../cells/walk.ts'
import { describeCondition } from '../model/condition.ts'
import { instantText } from '../../config/values/instants.ts'
import type { RightEnding } from '../model/ending.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'
import type { FileNamer } from './words.ts'

/** One sentence for each right that both sets have and that ends at another time, or is tried without in one of them. */
export function endingNotes(from: PolicySet, to: PolicySet): readonly string[] {
  const after = endingsIn(to)
  return [...endingsIn(from)].flatMap(([what, before]) => {
    const now = after.get(what)
    if (now === undefined) return []
    return [
      ...(before.end === now.end ? [] : [`${what}: ${endText(before.end)} before, ${endText(now.end)} after`]),
      ...(before.isWarned === now.isWarned
        ? []
        : [
            `${what}: mode ${now.isWarned ? 'enforce' : 'warn'} before, mode ${now.isWarned ? 'warn' : 'enforce'} after`,
          ]),
    ]
  })
}

interface Lasting {
  /** Milliseconds since the epoch; `Infinity`: it does not end. */
  readonly end: number
  readonly isWarned: boolean
}

function endText(end: number): string {
  return end === Infinity ? 'without an end' : `until ${instantText(end)}`
}

function endingsIn({ teams, guardrails }: PolicySet): ReadonlyMap<string, Lasting> {
  const found = new Map<string, Lasting>()
  const add = (what: string, { endsAtMs }: RightEnding, isWarned = false): void => {
    const end = Math.max(endsAtMs ?? Infinity, found.get(what)?.end ?? 0)
    found.set(what, { end, isWarned })
  }
  for (const { id, members, grants } of teams) {
    for (const { mode, id: grant, ending } of grants)
      if (mode === 'enforce' || mode === 'warn') add(`grant ${grant} of team ${id}`, ending, mode === 'warn')
    for (const entry of members) add(`members of team ${id} with ${describeCondition(entry)}`, entry.ending)
  }
  for (const { id, exceptions } of guardrails.all)
    for (const { teams: excepted, apps, ending } of exceptions) {
      const whom = [
        ...(excepted === null ? [] : [`teams ${[...excepted].join(', ')}`]),
        ...(apps === null ? [] : [`apps ${[...apps].join(', ')}`]),
      ]
      add(`exception of guardrail ${id} for ${whom.join(' and ')}`, ending)
    }
  return found
}

/** Counts what the second set grants anew and no key serves. */
export class UnservedRights {
  readonly #nameOf: FileNamer
  readonly #counts = new Map<Grant, number>()

  /** `nameOf`: of the second set. */
  constructor(nameOf: FileNamer) {
    this.#nameOf = nameOf
  }

  add({ callers, organizations, rights: [before, after] }: Cells): void {
    if (after?.reason !== 'key-unavailable' || after.grant === null || before === undefined) return
    if (before.effect === 'allow' || before.reason === 'key-unavailable') return
    const count = callers.length * organizations.length
    this.#counts.set(after.grant, (this.#counts.get(after.grant) ?? 0) + count)
  }

  notes(): readonly string[] {
    return [...this.#counts].map(
      ([{ id, team, source }, count]) =>
        `grant ${id} of team ${team} (${this.#nameOf(source.file)}:${source.line}) newly covers ${counted(count, 'cell')} that no key serves: denied until keys.yaml has one`,
    )
  }
}
