// The steps of an explanation about guardrails. Pure.

import { basename } from 'node:path'
import { serializeStrictJson } from '../../json/value.ts'
import type { ShadowGuardrailVerdict, GuardrailVerdict } from '../guardrails/apply.ts'
import type { GuardrailChange } from '../guardrails/added-values.ts'

interface Step {
  readonly stage: 'guardrail' | 'shadow' | 'warn'
  readonly ok: boolean
  readonly text: string
}

/** One step for each added value or refusal; a guardrail that changes nothing has none. */
export function guardrailSteps(verdict: GuardrailVerdict | null): readonly Step[] {
  if (verdict === null) return []
  const places = new Map(verdict.bound.map(({ id, source }) => [id, `${basename(source.file)}:${source.line}`]))
  const where = (guardrail: string): string => `${guardrail} (${places.get(guardrail) ?? ''})`
  const enforced = verdict.bound.filter(({ mode }) => mode === 'enforce')
  const steps: Step[] = []
  for (const change of verdict.violations.length === 0 ? verdict.changes : [])
    steps.push({ stage: 'guardrail', ok: true, text: `${where(change.guardrail)} adds ${changeText(change)}` })
  for (const { guardrail, text } of verdict.violations)
    steps.push({ stage: 'guardrail', ok: false, text: `${where(guardrail)}: ${text}` })
  if (steps.length === 0 && enforced.length > 0) {
    const ids = enforced.map(({ id }) => id).join(', ')
    steps.push({
      stage: 'guardrail',
      ok: true,
      text: `${ids}: nothing to change`,
    })
  }
  for (const shadow of verdict.shadow)
    for (const text of shadowTexts(shadow))
      steps.push({
        stage: shadow.mode,
        ok: true,
        text: `guardrail ${where(shadow.guardrail)} is in ${shadow.mode} mode and would ${text}`,
      })
  return steps
}

function shadowTexts({ changes, violations }: ShadowGuardrailVerdict): readonly string[] {
  return [...changes.map((change) => `add ${changeText(change)}`), ...violations.map(({ text }) => `refuse: ${text}`)]
}

function changeText({ in: site, place, bound, value }: GuardrailChange): string {
  const written = serializeStrictJson(value).toString()
  const what = written.length > 200 ? `${written.slice(0, 200)}…` : written
  const name = site === 'query' ? `the parameter ${place}` : place
  return bound === 'add' ? `${what} to ${name}` : `${name}: ${what}`
}
