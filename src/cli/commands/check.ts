// `check` and `test`: everything that `start` would check, without starting; the policy tests alone.

import { relative } from 'node:path'
import { counted } from '../../config/plural.ts'
import { policyFolderProblem } from '../../config/checks.ts'
import { isoTime } from '../../admin/views.ts'
import { formatDiagnostic, hasErrors, Refused, type Diagnostic } from '../../config/diagnostics.ts'
import { mostAbsentValues, type LoadedPolicies } from '../../policy/loading/load.ts'
import type { Command, Invocation } from '../invocation.ts'
import { configOption, loadWholeSetup, policiesOption, readRunningConfig, type Setup } from '../setup.ts'
import { withoutMark } from '../shadow-set.ts'
import { UsageError } from '../usage.ts'
import { describeIdentity } from '../../keys/identity/self.ts'
import { checkCheckpointKey } from '../../runtime/audit/checkpoint-key.ts'
import { checkKeysOnline, type CheckedKey } from '../../runtime/keys/online-check.ts'
import { testCoverage, type CoverageItem } from '../../policy/tools/test-coverage.ts'

export const checkCommand: Command = {
  usage: 'check [--config F] [--policies DIR] [--strict] [--online]',
  summary: 'validate configuration, catalogue, policies, keys and policy tests; all diagnostics at once',
  positionals: 0,
  options: {
    ...configOption,
    ...policiesOption,
    strict: { type: 'boolean', help: 'a warning fails too' },
    online: { type: 'boolean', help: 'ask Devin who each key is; one that is not what the inventory declares fails' },
  },
  async run(invocation) {
    const { config, loaded, shadow, ...setup } = await loadWholeSetup(invocation)
    const { policy, testsPassed } = loaded
    const isOnline = invocation.flag('online')
    const signing = await checkSigningKey({ config, ...setup }, invocation.env, isOnline)
    const missing = [...setup.missing, ...signing.missing]
    const online = isOnline ? await checkKeysOnline(config, policy, invocation.env, Date.now) : null
    const own = [...signing.diagnostics, ...loaded.diagnostics]
    const diagnostics = [...own, ...(shadow?.diagnostics ?? []), ...(online?.diagnostics ?? [])]
    const failed = hasErrors(diagnostics) || (invocation.flag('strict') && diagnostics.length > 0)
    const valueless = policy.keys.flatMap(({ id }) =>
      loaded.secrets.values.has(id) || loaded.unasked.includes(id) ? [] : [id],
    )
    const summary = {
      revision: policy.revision,
      teams: policy.teams.length,
      keys: policy.keys.length,
      tests_passed: testsPassed,
      keys_without_value: valueless,
      keys_not_asked: loaded.unasked,
      settings_without_value: missing,
      ...(shadow === null ? {} : { shadow: shadowSummary(shadow) }),
    }
    if (invocation.json)
      invocation.print(
        JSON.stringify({
          ok: !failed,
          ...summary,
          ...(online === null ? {} : { online: online.keys.map(checkedKeyView) }),
          diagnostics,
        }),
      )
    else {
      for (const diagnostic of withFewAbsent(diagnostics, loaded.absentValues))
        invocation.tell(formatDiagnostic(diagnostic))
      const { paint } = invocation
      const verdict = failed ? paint('red', 'refused') : paint('green', 'fine')
      invocation.print(
        `${verdict}: ${counted(summary.teams, 'team')}, ${counted(summary.keys, 'key')}, ${counted(testsPassed, 'policy test')} passed, ${counted(own.filter(isWarning).length, 'warning')}, revision ${policy.revision}`,
      )
      if (shadow !== null) {
        const { teams, keys, tests_passed: passed, revision } = shadowSummary(shadow)
        invocation.print(
          `shadow set: ${counted(teams, 'team')}, ${counted(keys, 'key')}, ${counted(passed, 'policy test')} passed, ${counted(shadow.diagnostics.length, 'warning')}, revision ${revision}`,
        )
      }
      for (const { id, result, identity } of online?.keys ?? []) {
        const who = identity === null ? '' : `: service user ${describeIdentity(identity)}`
        invocation.print(`key ${id}  ${paint(result === 'fine' ? 'green' : 'red', result)}${who}`)
      }
      const needs = [
        ...(valueless.length === 0 ? [] : [`the values of these keys: ${valueless.join(', ')}`]),
        ...(missing.length === 0 ? [] : [`what these settings name: ${missing.join(', ')}`]),
      ]
      if (loaded.unasked.length > 0 && online === null)
        invocation.print(
          `not asked for a value, because only a start and --online ask programs and servers: ${loaded.unasked.join(', ')}`,
        )
      if (needs.length > 0) invocation.print(`what a start still needs here: ${needs.join('; ')}`)
    }
    return failed ? 1 : 0
  },
}

/** What is to be said of the key that signs checkpoints, and its setting where the key is missing here. */
async function checkSigningKey(
  { config: { file, checkpoints }, positionOf }: Pick<Setup, 'config' | 'positionOf'>,
  env: Invocation['env'],
  isOnline: boolean,
): Promise<{ readonly diagnostics: readonly Diagnostic[]; readonly missing: readonly string[] }> {
  if (checkpoints === null) return { diagnostics: [], missing: [] }
  const [kind = ''] = Object.keys(checkpoints.key)
  const at = ['checkpoints', 'key', kind]
  const remarks = await checkCheckpointKey(checkpoints.key, env, isOnline)
  return {
    diagnostics: remarks.map(({ severity, message }) => ({ file, ...positionOf(at), severity, message })),
    missing: remarks.flatMap(({ isMissing }) => (isMissing ? [at.join('.')] : [])),
  }
}

function isWarning({ severity }: Diagnostic): boolean {
  return severity === 'warning'
}

/** The diagnostics for people: many keys without a value share one line, in which the other warnings do not drown. */
function withFewAbsent(diagnostics: readonly Diagnostic[], absent: readonly Diagnostic[]): readonly Diagnostic[] {
  const [first] = absent
  if (first === undefined || absent.length <= mostAbsentValues) return diagnostics
  const message = `${counted(absent.length, 'key')} have no value here, because their variables or files are missing: a start needs them, and they are named below`
  return diagnostics.flatMap((each) => (each === first ? [{ ...each, message }] : absent.includes(each) ? [] : [each]))
}

function shadowSummary({ policy, testsPassed }: LoadedPolicies) {
  const { revision, teams, keys } = policy
  return { revision, teams: teams.length, keys: keys.length, tests_passed: testsPassed }
}

function checkedKeyView({ id, result, identity, endsAtMs }: CheckedKey) {
  return {
    id,
    result,
    service_user: identity?.serviceUser ?? null,
    name: identity?.name ?? null,
    organization: identity?.organization ?? null,
    ends_at: isoTime(endsAtMs),
  }
}

export const testCommand: Command = {
  usage: 'test [--coverage [--min PERCENT]] [--config F] [--policies DIR]',
  summary: 'run the policy tests (*.test.yaml); with --coverage, say what they leave out',
  positionals: 0,
  options: {
    ...configOption,
    ...policiesOption,
    coverage: {
      type: 'boolean',
      help: 'grants, conditions, bounds of guardrails and invariants that no test exercises',
    },
    min: { type: 'string', help: 'with --coverage: end with 1 below so many percent' },
  },
  async run(invocation) {
    const least = leastOf(invocation)
    try {
      const { config, loaded, shadow } = await loadWholeSetup(invocation, readRunningConfig)
      const beside = invocation.option('policies') === null ? config.shadowPoliciesDirectory : null
      if (beside !== null && shadow === null)
        invocation.tell(`note: the shadow set was not tested: ${(await policyFolderProblem(beside)) ?? beside}`)
      const { policy, tests, invariants } = loaded
      const coverage = invocation.flag('coverage') ? coverageOf(testCoverage(policy, tests, invariants)) : null
      return report(invocation, [loaded, shadow], [], coverage, least)
    } catch (error) {
      const failures = error instanceof Refused ? error.diagnostics.filter(isFailedTest) : []
      if (!(error instanceof Refused) || failures.length === 0) throw error
      return report(invocation, [null, null], failures.map(formatDiagnostic), null, least)
    }
  },
}

function isFailedTest({ message }: Diagnostic): boolean {
  return withoutMark(message).startsWith('test failed: ')
}

function leastOf(invocation: Invocation): number | null {
  const written = invocation.option('min')
  if (written === null) return null
  const least = Number(written)
  if (!/^\d+(\.\d+)?$/.test(written) || least > 100)
    throw new UsageError(`--min takes a percentage from 0 to 100, not "${written}"`)
  if (!invocation.flag('coverage')) throw new UsageError('--min goes with --coverage: test --coverage --min 90')
  return least
}

interface Coverage {
  /** Rounded down, so that 100 means all. */
  readonly percent: number
  readonly covered: number
  readonly total: number
  readonly missing: readonly {
    readonly kind: string
    readonly file: string
    readonly line: number
    readonly text: string
  }[]
}

function coverageOf(items: readonly CoverageItem[]): Coverage {
  const covered = items.filter((item) => item.covered).length
  const percent = items.length === 0 ? 100 : Math.floor((covered * 1000) / items.length) / 10
  const missing = items
    .filter((item) => !item.covered)
    .map(({ kind, file, line, text }) => ({ kind, file, line, text }))
  return { percent, covered, total: items.length, missing }
}

function report(
  invocation: Invocation,
  [loaded, shadow]: readonly [LoadedPolicies | null, LoadedPolicies | null],
  failures: readonly string[],
  coverage: Coverage | null,
  least: number | null,
): number {
  const isEnough = least === null || coverage === null || coverage.percent >= least
  const ok = failures.length === 0 && isEnough
  const passed = loaded?.testsPassed ?? null
  const inShadow = shadow === null ? {} : { shadow_passed: shadow.testsPassed }
  if (invocation.json)
    invocation.print(JSON.stringify({ ok, passed, ...inShadow, failures, ...(coverage === null ? {} : { coverage }) }))
  else {
    const { paint } = invocation
    for (const failure of failures) invocation.print(`${paint('red', 'failed')} ${failure}`)
    for (const { file, line, text } of coverage?.missing ?? [])
      invocation.print(`${paint('yellow', 'not tested')} ${relative('', file)}:${line}: ${text}`)
    invocation.print(
      failures.length === 0
        ? paint('green', `${counted(passed ?? 0, 'policy test')} passed`)
        : `${counted(failures.length, 'policy test')} failed`,
    )
    if (shadow !== null) invocation.print(`shadow set: ${counted(shadow.testsPassed, 'policy test')} passed`)
    if (coverage !== null) {
      const verdict = isEnough ? '' : `; at least ${least ?? 0} % is wanted`
      const text = `coverage ${coverage.percent} %: ${coverage.covered} of ${coverage.total} grants, conditions, bounds, invariants and refusals${verdict}`
      invocation.print(isEnough ? text : paint('red', text))
    }
  }
  return ok ? 0 : 1
}
