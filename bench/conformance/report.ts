// What the suite found, as a table and as a verdict on our goals.

import type { TestResult } from './suite.ts'

/** Of the tests that browsers are not needed for: 160 required, 105 optimal. */
const goals = { required: 150, optimal: 80 } as const
/** No required test of these groups may fail. Through the gateway every request bears a token: there `auth` judges nothing. */
const flawless = ['vary', 'vary-parse', 'auth', 'invalidation', 'stale', 'cc-response'] as const

export function report(
  results: readonly TestResult[],
  through: 'gateway' | 'module',
): { readonly text: string; readonly passed: boolean } {
  const lines: string[] = []
  let passed = true
  for (const kind of ['required', 'optimal'] as const) {
    const all = results.filter((result) => result.kind === kind)
    const good = all.filter(({ verdict }) => verdict === 'pass')
    passed &&= good.length >= goals[kind]
    lines.push(`${kind.padEnd(9)} ${good.length} of ${all.length} pass (goal ${goals[kind]})`)
  }
  const bad = results.filter(({ kind, verdict }) => kind !== 'check' && verdict !== 'pass')
  const groups = flawless.filter((group) => through === 'module' || group !== 'auth')
  const spoilt = bad.filter(({ group, kind }) => kind === 'required' && groups.some((name) => name === group))
  passed &&= spoilt.length === 0
  lines.push(`required tests of ${groups.join(', ')}: ${spoilt.length} do not pass (goal 0)`, '')
  for (const { id, group, kind, verdict, message } of bad)
    lines.push(`${kind} ${group}/${id}: ${verdict}${message === null ? '' : `, ${message}`}`)
  return { text: `${lines.join('\n')}\n`, passed }
}
