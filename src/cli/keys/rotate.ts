// `rotate`: a new key at Devin in place of the old one, by the running gateway, or by this process where none runs.

import { planView, rotationView, type RotationPlanView, type RotationView } from '../../admin/rotation-views.ts'
import { readAsked, type AskedRotation } from '../../admin/rotations-api.ts'
import { orUndo } from '../../keys/rotation/rotation.ts'
import { openLoneRotations } from '../../runtime/keys/lone-rotations.ts'
import type { Command, Invocation } from '../invocation.ts'
import { operatorOption, operatorsOf, OperatorsRefused, whoAsks, type Operators } from '../operators.ts'
import { configOption, loadSetup, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

export const rotateCommand: Command = {
  usage: 'rotate KEY [--dry-run | --resume | --undo] [--old-key ID] [--settle 30s] [--config F]',
  summary:
    'create a new key at Devin, put it into its source, use it, and revoke the old one; by the running gateway where one runs',
  positionals: 1,
  options: {
    ...configOption,
    ...operatorOption,
    'dry-run': { type: 'boolean', help: 'show what would be done, and what would be refused' },
    resume: { type: 'boolean', help: 'finish a rotation that has stopped' },
    undo: { type: 'boolean', help: 'go back to the old key, as long as it is not being revoked' },
    'old-key': { type: 'string', help: 'id at Devin of the API key in use, where Devin does not say which it is' },
    settle: {
      type: 'string',
      help: 'without a shared store: how long other instances may take to read the new value (default: as the source needs)',
    },
  },
  async run(invocation) {
    const asked = askedFor(invocation)
    const { config } = await readRunningConfig(invocation)
    const operators = operatorsOf(config, invocation)
    const answer = await send(operators, asked)
    return answer === null ? await rotateHere(invocation, asked) : await follow(invocation, asked, operators, answer)
  },
}

function askedFor(invocation: Invocation): AskedRotation {
  const [key = ''] = invocation.positionals
  if (key === '') throw new UsageError('name the key, by its id in the inventory: rotate payments-runner')
  const given = (['dry-run', 'resume', 'undo'] as const).filter((name) => invocation.flag(name))
  if (given.length > 1) throw new UsageError(`--${given.join(' and --')} do not go together`)
  const actions = { 'dry-run': 'plan', resume: 'resume', undo: 'undo' } as const
  const [flag] = given
  const action = flag === undefined ? 'begin' : actions[flag]
  const asked = readAsked({
    key,
    action,
    by: whoAsks(),
    old_key: invocation.option('old-key'),
    settle: invocation.option('settle'),
  })
  if (typeof asked === 'string') throw new UsageError(`--${asked.replace('old_key', 'old-key')}`)
  return asked
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

/** The answer of the running gateway; null where none runs at the address. */
async function send({ address, send: sendTo }: Operators, asked: AskedRotation): Promise<Answer | null> {
  const { action, key, by, oldApiKey, settleMs } = asked
  const body = { action, key, by, old_key: oldApiKey, settle: settleMs === null ? null : `${settleMs ?? 0}ms` }
  try {
    const response = await sendTo('/api/rotations', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(120_000),
    })
    return { status: response.status, body: await response.json() }
  } catch (error) {
    if (error instanceof OperatorsRefused) throw error
    const cause = error instanceof Error ? error.cause : undefined
    if (cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED') return null
    throw new Error(
      `something listens at ${address} and did not answer as a gateway does, so this command does not know whether a gateway uses the key: look at it first`,
      { cause: error },
    )
  }
}

async function follow(
  invocation: Invocation,
  asked: AskedRotation,
  { address, send: sendTo }: Operators,
  { status, body }: Answer,
): Promise<number> {
  const { error, reasons } = body as { error?: unknown; reasons?: readonly string[] }
  if (status >= 400)
    return refused(
      invocation,
      asked,
      reasons ?? [typeof error === 'string' ? error : `the gateway at ${address} answered ${status}`],
    )
  // Our own listener's answers.
  if (asked.action === 'plan') return showPlan(invocation, body as RotationPlanView)
  const teller = createTeller(invocation)
  let view = body as RotationView
  for (;;) {
    teller.tell(view)
    if (view.state !== 'running') return finish(invocation, asked, view)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const response = await sendTo('/api/rotations', { signal: AbortSignal.timeout(10_000) }).catch((cause: unknown) => {
      throw new Error(
        `the gateway at ${address} does not answer any more. Nothing is lost: when it runs again, "devin-gateway rotate ${asked.key} --resume" goes on`,
        { cause },
      )
    })
    const list = (await response.json()) as readonly RotationView[]
    view = list.find(({ id }) => id === view.id) ?? { ...view, state: 'stopped' }
  }
}

/** Does it in this process. */
async function rotateHere(invocation: Invocation, asked: AskedRotation): Promise<number> {
  const { config, loaded } = await loadSetup(invocation, { read: readRunningConfig, tests: 'ignored' })
  if (config.store !== null)
    throw new Error(
      'no gateway of this configuration runs here, and other instances share its store: run the command where one of them runs, so that they are waited for',
    )
  const teller = createTeller(invocation)
  const { rotations, close } = await openLoneRotations({
    config,
    policy: loaded.policy,
    env: invocation.env,
    onEvent: (rotation, text, isFault) => {
      if (!isFault) teller.tell(rotationView({ rotation, live: true, waiting: text }))
    },
    onTrouble: (text) => invocation.tell(text),
  })
  try {
    if (asked.action === 'plan')
      return showPlan(
        invocation,
        planView(await rotations.plan(asked), 'no gateway runs here: wait for a while for instances elsewhere'),
      )
    const { begin, resume, undo } = rotations
    const begun = await { begin, resume, undo }[asked.action](asked)
    teller.tell(rotationView({ rotation: begun, live: true, waiting: null }))
    await rotations.whenEnded(asked.key)
    const [shown] = (await rotations.list()).filter(({ rotation }) => rotation.key === asked.key)
    const view = rotationView(shown ?? { rotation: begun, live: false, waiting: null })
    teller.tell(view)
    return finish(invocation, asked, view)
  } catch (error) {
    if (!(error instanceof Error && 'reasons' in error)) throw error
    return refused(invocation, asked, error.reasons as readonly string[])
  } finally {
    await close()
  }
}

function showPlan(invocation: Invocation, plan: RotationPlanView): number {
  const { json, paint, print } = invocation
  if (json) print(JSON.stringify(plan))
  else {
    print(`${paint('bold', plan.key)}  kept in ${plan.source}`)
    print(`    service user  ${plan.service_user ?? 'unknown'}`)
    print(`    old key       ${plan.old_api_key ?? 'unknown'}`)
    print(`    rotated by    ${plan.rotating_key ?? 'no key'}`)
    // Steps that are not going to happen would hide why.
    if (plan.refused.length === 0) for (const [index, step] of plan.steps.entries()) print(`    ${index + 1}. ${step}`)
    for (const text of plan.refused) print(`    ${paint('red', 'refused')}: ${text}`)
    print(
      plan.refused.length === 0
        ? 'nothing was changed: leave --dry-run away to do it'
        : 'it would be refused; nothing was changed',
    )
  }
  return plan.refused.length === 0 ? 0 : 1
}

/** Prints each step once. */
function createTeller({ json, print }: Invocation) {
  let told = 0
  let waiting: string | null = null
  return {
    tell(view: RotationView): void {
      if (json) return
      for (const { text } of view.steps.slice(told)) print(`- ${text}`)
      told = Math.max(told, view.steps.length)
      if (view.waiting !== null && view.waiting !== waiting && view.waiting !== view.steps.at(-1)?.text)
        print(`  ${view.waiting}`)
      ;({ waiting } = view)
    },
  }
}

function finish({ tell, json, print }: Invocation, asked: AskedRotation, view: RotationView): number {
  const isWanted = view.state === (asked.action === 'undo' ? 'undone' : 'done')
  if (json) print(JSON.stringify(view))
  else if (view.state === 'done') print(`key "${view.key}" is rotated: ${view.new_api_key ?? ''} is in use`)
  else if (view.state === 'undone' && isWanted) print(`key "${view.key}" is as it was before`)
  else if (view.state === 'undone') tell(`the rotation of key "${view.key}" went back: ${view.reason ?? ''}`)
  else {
    tell(`the rotation of key "${view.key}" has stopped: ${view.fault ?? 'it was cut off'}`)
    tell(
      `Nothing is lost. Finish it with "devin-gateway rotate ${view.key} --resume"${orUndo(view.phase, view.can_undo)}`,
    )
  }
  return isWanted ? 0 : 1
}

function refused({ tell, json, print }: Invocation, { key }: AskedRotation, reasons: readonly string[]): number {
  if (json) print(JSON.stringify({ ok: false, key, refused: reasons }))
  else for (const text of reasons) tell(`devin-gateway rotate: key "${key}" is not rotated: ${text}`)
  return 1
}
