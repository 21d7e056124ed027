// `block`, `unblock`, `blocks`: who is blocked by the running gateway and all that share its store.

import { memberOf } from '../../json/untyped.ts'
import type { BlockView, ChangedBlock } from '../../admin/blocks-api.ts'
import { readBlockTarget, readWanted } from '../../blocks/wanted.ts'
import type { Command, Invocation } from '../invocation.ts'
import { operatorOption, operatorsOf, whoAsks } from '../operators.ts'
import { configOption, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

const kinds = 'subject|app|team|issuer|jti|key'

export const blockCommand: Command = {
  usage: `block ${kinds} VALUE --reason TEXT [--for 1h] [--note TEXT] [--config F]`,
  summary:
    'refuse a caller or set a key aside at once, on all instances that share the store, and cut what is under way',
  positionals: 2,
  options: {
    ...configOption,
    ...operatorOption,
    reason: { type: 'string', help: 'why; blocked callers are shown it' },
    for: { type: 'string', help: 'how long, like 30m, 1h or 7d (default: until "unblock")' },
    note: { type: 'string', help: 'for operators and the audit log alone' },
  },
  async run(invocation) {
    const asked = { ...targetOf(invocation), ...given(invocation, ['for', 'reason', 'note']), by: whoAsks() }
    const wanted = readWanted(asked, asked.by)
    if ('error' in wanted) throw usageError(wanted)
    const changed = await send(invocation, 'POST', asked)
    const until = changed.until === null ? '' : ` until ${changed.until}`
    report(invocation, changed, `${changed.kind} ${changed.value} is blocked${until}`)
    return changed.everywhere && changed.kept ? 0 : 1
  },
}

export const unblockCommand: Command = {
  usage: `unblock ${kinds} VALUE [--config F]`,
  summary: 'end a block before its time',
  positionals: 2,
  options: { ...configOption, ...operatorOption },
  async run(invocation) {
    const asked = { ...targetOf(invocation), by: whoAsks() }
    const target = readBlockTarget(asked)
    if ('error' in target) throw usageError(target)
    const changed = await send(invocation, 'DELETE', asked)
    report(invocation, changed, `${changed.kind} ${changed.value} is not blocked any more`)
    return changed.everywhere && changed.kept ? 0 : 1
  },
}

export const blocksCommand: Command = {
  usage: 'blocks [--config F]',
  summary: 'who is blocked: why, by whom, since when and until when',
  positionals: 0,
  options: { ...configOption, ...operatorOption },
  async run(invocation) {
    // Our own listener's answer.
    const blocks = (await ask(invocation, 'GET', null)) as readonly BlockView[]
    if (invocation.json) {
      invocation.print(JSON.stringify(blocks))
      return 0
    }
    if (blocks.length === 0) invocation.print('nobody is blocked')
    const { paint } = invocation
    for (const { kind, value, reason, note, by, since, until } of blocks) {
      invocation.print(`${paint('bold', `${kind} ${value}`)}  ${until === null ? 'until "unblock"' : `until ${until}`}`)
      invocation.print(`    ${reason}${note === null ? '' : ` (${note})`}`)
      invocation.print(`    by ${by}, since ${since}`)
    }
    return 0
  },
}

function targetOf({ positionals }: Invocation): { kind: string; value: string } {
  const [kind = '', value = ''] = positionals
  return { kind, value }
}

function given({ option }: Invocation, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = option(name)
      return value === null ? [] : [[name, value]]
    }),
  )
}

function usageError({ field, error }: { readonly field: string; readonly error: string }): UsageError {
  return new UsageError(field === 'kind' || field === 'value' ? error : `--${field}: ${error}`)
}

function report({ tell, json, print }: Invocation, changed: ChangedBlock, text: string): void {
  if (json) {
    print(JSON.stringify(changed))
    return
  }
  const { instances, unconfirmed } = changed
  print(`${text}${instances === 1 ? '' : `: ${instances - unconfirmed} of ${instances} instances have confirmed it`}`)
  for (const note of changed.notes) tell(`note: ${note}`)
}

async function send(invocation: Invocation, method: string, asked: object): Promise<ChangedBlock> {
  // Our own listener's answer.
  return (await ask(invocation, method, asked)) as ChangedBlock
}

async function ask(invocation: Invocation, method: string, asked: object | null): Promise<unknown> {
  const { config } = await readRunningConfig(invocation)
  const { address, demand } = operatorsOf(config, invocation)
  const response = await demand('/api/blocks', 15_000, {
    method,
    ...(asked === null ? {} : { body: JSON.stringify(asked), headers: { 'content-type': 'application/json' } }),
  })
  const answer: unknown = await response.json().catch(() => null)
  if (response.ok) return answer
  const error = memberOf(answer, 'error')
  throw new Error(typeof error === 'string' ? error : `the running gateway at ${address} answered ${response.status}`)
}
