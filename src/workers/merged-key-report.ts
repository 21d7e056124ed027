// The reports on keys of several workers as one. Each worker watches its own uses, so unused is what none of them has used. Pure.

import type { UntypedObject as Json } from '../json/untyped.ts'
import { asObjects, asText, asTexts, latest } from './merged-json.ts'

const urgencies = ['now', 'soon', 'later']
const ofUses = ['never-used', 'unused-permission']

/** Takes the answers of `GET /api/keys/report`. */
export function mergeKeyReports(answers: readonly Json[]): Json {
  const base = answers.find(({ state }) => state === 'known') ?? answers.find(({ revision }) => revision !== null)
  const states = answers.map(({ state }) => state)
  const all = answers.map(({ findings }) => asObjects(findings))
  const told = new Set<string>()
  const findings = all.flat().flatMap((each): readonly Json[] => {
    const { key, finding, what } = each
    const isOfUses = ofUses.includes(asText(finding))
    const id = isOfUses ? `${asText(key)}\n` : `${asText(key)}\n${asText(finding)}\n${asText(what)}`
    if (told.has(id)) return []
    told.add(id)
    return isOfUses ? unusedByAll(all.map((list) => list.filter((other) => isOfUse(other, key)))) : [each]
  })
  return {
    ...(base ?? answers[0]),
    state: ['failed', 'deciding'].find((state) => states.includes(state)) ?? 'known',
    watched_since: latest(answers, 'watched_since'),
    unused_told_from: latest(answers, 'unused_told_from'),
    findings: findings.toSorted((a, b) => rankOf(a) - rankOf(b)),
  }
}

function isOfUse({ key, finding }: Json, wanted: unknown): boolean {
  return key === wanted && ofUses.includes(asText(finding))
}

/** Takes what each worker says of the uses of one key. A worker that says nothing has used everything, or has not watched for long. */
function unusedByAll(said: readonly (readonly Json[])[]): readonly Json[] {
  if (said.some((list) => list.length === 0)) return []
  const users = said.flatMap(([first]) => (first?.['finding'] === 'unused-permission' ? [first] : []))
  const [first] = users
  if (first === undefined) return said[0] ?? []
  const names = asTexts(first['unused'])
  const left = names.filter((name) => users.every(({ unused }) => asTexts(unused).includes(name)))
  if (left.length === 0) return []
  const what = asText(first['what'])
  const at = what.lastIndexOf(names.join(', '))
  const end = at + names.join(', ').length
  return [{ ...first, unused: left, what: `${what.slice(0, at)}${left.join(', ')}${what.slice(end)}` }]
}

function rankOf({ urgency }: Json): number {
  return urgencies.indexOf(asText(urgency))
}
