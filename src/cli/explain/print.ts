// Explanations as people read them, and as JSON.

import type { Explanation } from '../../policy/tools/explanation.ts'
import type { Invocation } from '../invocation.ts'

const quiet: ReadonlySet<string> = new Set(['shadow', 'note', 'owner', 'limit'])

/** One request with its steps. Returns the exit code. */
export function printOne(invocation: Invocation, found: Explanation, more: object = {}): number {
  if (invocation.json) invocation.print(JSON.stringify({ ...found, ...more }))
  else {
    const { paint } = invocation
    for (const { stage, ok, text } of found.steps) {
      const mark = !ok
        ? paint('red', '✗')
        : quiet.has(stage)
          ? paint('dim', '·')
          : stage === 'warn'
            ? paint('yellow', '!')
            : paint('green', '✓')
      invocation.print(`${mark} ${stage.padEnd(9)} ${text}`)
    }
    if (found.limits.length > 0)
      invocation.print(`${paint('dim', '·')} ${'limit'.padEnd(9)} it counts against ${found.limits.join('; ')}`)
    if (found.nearest !== null) invocation.print(`${paint('yellow', '→')} ${'nearest'.padEnd(9)} ${found.nearest}`)
    invocation.print(`${verdictOf(invocation, found)} (${found.reason}), policy revision ${found.policy_revision}`)
  }
  return found.effect === 'allow' ? 0 : 1
}

function verdictOf({ paint }: Invocation, { effect }: Explanation): string {
  return effect === 'allow' ? paint('green', 'allow') : paint('red', 'deny')
}

/** One line for each request. Returns the exit code. */
export function printList(invocation: Invocation, found: readonly Explanation[], notes: readonly string[]): number {
  if (invocation.json) invocation.print(JSON.stringify({ notes, explanations: found }))
  else {
    for (const text of notes) invocation.print(`· ${'note'.padEnd(9)} ${text}`)
    for (const each of found) {
      const { effect, method, path, operation, grant, key, reason } = each
      const why = effect === 'allow' ? `${grant === null ? reason : `grant ${grant}`}, key ${key ?? 'none'}` : reason
      const gap = effect === 'allow' ? '' : ' '
      invocation.print(
        `${verdictOf(invocation, each)}${gap} ${method.padEnd(6)} ${path} (${operation ?? 'no operation'}): ${why}`,
      )
    }
    const allowed = found.filter(({ effect }) => effect === 'allow').length
    invocation.print(`${allowed} of ${found.length} allowed; name a method and a path for the steps of one`)
  }
  return found.every(({ effect }) => effect === 'allow') ? 0 : 1
}
