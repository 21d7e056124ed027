// `check` and `test`: everything that `start` would check, without starting; the policy tests alone.

import { formatDiagnostic, Refused } from '../../config/diagnostics.ts'
import type { Command, Invocation } from '../invocation.ts'
import { configOption, loadSetup, policiesOption } from '../setup.ts'
import { forPeople, painter } from '../style.ts'

export const checkCommand: Command = {
  usage: 'check [--config F] [--policies DIR] [--strict]',
  summary: 'validate configuration, catalogue, policies, keys and policy tests; all diagnostics at once',
  positionals: 0,
  options: { ...configOption, ...policiesOption, strict: { type: 'boolean', help: 'a warning fails too' } },
  async run(invocation) {
    const { loaded, missing } = await loadSetup(invocation)
    const { policy, diagnostics, testsPassed } = loaded
    const failed = invocation.flag('strict') && diagnostics.length > 0
    const valueless = policy.keys.flatMap(({ id }) => (loaded.secrets.has(id) ? [] : [id]))
    const summary = {
      revision: policy.revision,
      teams: policy.teams.length,
      keys: policy.keys.length,
      tests_passed: testsPassed,
      keys_without_value: valueless,
      settings_without_value: missing,
    }
    if (invocation.json) invocation.print(JSON.stringify({ ok: !failed, ...summary, diagnostics }))
    else {
      for (const diagnostic of diagnostics) invocation.err.write(`${forPeople(formatDiagnostic(diagnostic))}\n`)
      const paint = painter(invocation.out, invocation.env)
      const verdict = failed ? paint('red', 'refused') : paint('green', 'fine')
      invocation.print(
        `${verdict}: ${summary.teams} teams, ${summary.keys} keys, ${testsPassed} policy tests passed, ${diagnostics.length} warnings, revision ${policy.revision}`,
      )
      const needs = [
        ...(valueless.length === 0 ? [] : [`the values of these keys: ${valueless.join(', ')}`]),
        ...(missing.length === 0 ? [] : [`what these settings name: ${missing.join(', ')}`]),
      ]
      if (needs.length > 0) invocation.print(`what a start still needs here: ${needs.join('; ')}`)
    }
    return failed ? 1 : 0
  },
}

export const testCommand: Command = {
  usage: 'test [--config F] [--policies DIR]',
  summary: 'run the policy tests (*.test.yaml)',
  positionals: 0,
  options: { ...configOption, ...policiesOption },
  async run(invocation) {
    try {
      const { loaded } = await loadSetup(invocation)
      return report(invocation, loaded.testsPassed, [])
    } catch (error) {
      const failures =
        error instanceof Refused ? error.diagnostics.filter(({ message }) => message.startsWith('test failed: ')) : []
      if (!(error instanceof Refused) || failures.length === 0) throw error
      return report(invocation, null, failures.map(formatDiagnostic))
    }
  },
}

function report(invocation: Invocation, passed: number | null, failures: readonly string[]): number {
  const ok = failures.length === 0
  if (invocation.json) invocation.print(JSON.stringify({ ok, passed, failures }))
  else {
    const paint = painter(invocation.out, invocation.env)
    for (const failure of failures) invocation.print(`${paint('red', 'failed')} ${failure}`)
    invocation.print(
      ok ? paint('green', `${passed ?? 0} policy tests passed`) : `${failures.length} policy tests failed`,
    )
  }
  return ok ? 0 : 1
}
