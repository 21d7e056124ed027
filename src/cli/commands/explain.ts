// `explain`: a decision step by step, with the grant, the key and the nearest miss.

import { explain, type Explanation } from '../../policy/tools/explain.ts'
import { parseCheckedBody, type CheckedBody } from '../../policy/decision/checked-body.ts'
import { StrictJsonError } from '../../json/strict-json-error.ts'
import { principalFrom } from '../../policy/tools/suite.ts'
import type { Command, Invocation } from '../invocation.ts'
import { callerFrom, callerOptions, configOption, loadSetup, policiesOption, readRunningConfig } from '../setup.ts'
import { painter } from '../style.ts'
import { UsageError } from '../usage.ts'

export const explainCommand: Command = {
  usage:
    'explain --team T [--app A] [--actor A] [--group G]… METHOD PATH [--body JSON] [--devin-user ID] [--policies DIR]',
  summary: 'show how a call would be decided, which key would be used, and what is nearest when it is denied',
  positionals: 2,
  options: {
    ...callerOptions,
    ...configOption,
    ...policiesOption,
    body: { type: 'string', help: 'JSON body of the call' },
    'devin-user': { type: 'string', help: "the caller's user at Devin, in place of its member list" },
  },
  async run(invocation) {
    const [method, target, ...rest] = invocation.positionals
    if (method === undefined || target === undefined || rest.length > 0)
      throw new UsageError('say a method and a path: explain --team payments GET /v3/self')
    const { loaded } = await loadSetup(invocation, { read: readRunningConfig, tests: 'ignored' })
    const principal = principalFrom(callerFrom(invocation, loaded.policy))
    const id = invocation.option('devin-user')
    const found = explain(loaded.policy, principal, {
      method: method.toUpperCase(),
      target,
      body: bodyOf(invocation),
      devinUser: id === null ? undefined : { id },
    })
    if (invocation.json) invocation.print(JSON.stringify(found))
    else print(invocation, found)
    return found.effect === 'allow' ? 0 : 1
  },
}

function bodyOf(invocation: Invocation): CheckedBody | null {
  const text = invocation.option('body')
  if (text === null) return null
  try {
    return parseCheckedBody(Buffer.from(text))
  } catch (error) {
    throw error instanceof StrictJsonError ? new UsageError(`--body cannot be judged: ${error.message}`) : error
  }
}

function print(invocation: Invocation, found: Explanation): void {
  const paint = painter(invocation.out, invocation.env)
  for (const { stage, ok, text } of found.steps) {
    const mark = stage === 'shadow' ? paint('dim', '·') : ok ? paint('green', '✓') : paint('red', '✗')
    invocation.print(`${mark} ${stage.padEnd(9)} ${text}`)
  }
  if (found.nearest !== null) invocation.print(`${paint('yellow', '→')} ${'nearest'.padEnd(9)} ${found.nearest}`)
  const verdict = found.effect === 'allow' ? paint('green', 'allow') : paint('red', 'deny')
  invocation.print(`${verdict} (${found.reason}), policy revision ${found.policy_revision}`)
}
