// `simulate`: recorded decisions, decided again under another policy set.

import { setFlagsFromString } from 'node:v8'
import { loadCatalogue } from '../../../catalogue/load.ts'
import { outcomeKinds } from '../../../policy/replay/outcome.ts'
import { ReplayTally } from '../../../policy/replay/tally.ts'
import { failKinds } from '../../fail-on.ts'
import type { Command } from '../../invocation.ts'
import { readDecisions } from '../../logs/decisions.ts'
import { simulationData, simulationText } from '../../logs/simulation-report.ts'
import { loadPolicySource } from '../../policy-source.ts'
import { configOption, readRunningConfig } from '../../setup.ts'
import { UsageError } from '../../usage.ts'

const failNames = [...outcomeKinds.filter((kind) => kind !== 'same'), 'gaps'] as const

export const simulateCommand: Command = {
  usage: 'simulate --log FILE… --policies SET [--fail-on KINDS] [--config F]',
  summary: 'decide recorded decisions again under another policy set: a directory, git:REF, running, or shadow',
  positionals: 10_000,
  options: {
    ...configOption,
    log: {
      type: 'string',
      multiple: true,
      help: 'decision log; repeatable, rotated and compressed ones too, - for standard input',
    },
    policies: { type: 'string', help: 'the policy set to decide under: a directory, git:REF, running, or shadow' },
    'fail-on': { type: 'string', help: `exit with 1 on such results, separated by commas: ${failNames.join(', ')}` },
  },
  async run(invocation) {
    // Records are read and forgotten: room for more young objects would only make the process larger.
    setFlagsFromString('--semi-space-growth-factor=1')
    const { positionals } = invocation
    const name = invocation.option('policies')
    // A shell expands `--log decisions*` to several words.
    const logs = [...invocation.list('log'), ...positionals]
    if (invocation.list('log').length === 0)
      throw new UsageError('say which decisions: --log decisions.ndjson, or --log - for standard input')
    if (name === null)
      throw new UsageError('say the policy set to decide under: --policies policies, or --policies git:main')
    const failOn = failKinds(invocation.option('fail-on'), failNames)
    const { config } = await readRunningConfig(invocation)
    const { catalogue } = await loadCatalogue(config.catalogue)
    const { loaded, notes } = await loadPolicySource(name, { config, catalogue, asker: invocation })
    for (const text of notes) invocation.tell(text)
    const tally = new ReplayTally(loaded.policy)
    const read = await readDecisions(logs, invocation.err, {
      repeated: (content, time) => tally.repeated(content, time),
      decision: (record, content) => tally.add(record, content),
    })
    if (invocation.json) invocation.print(JSON.stringify(simulationData(tally, read)))
    else for (const line of simulationText(tally, read, { logs, policies: name })) invocation.print(line)
    const isFailed =
      outcomeKinds.some((kind) => kind !== 'same' && failOn.has(kind) && tally.counts[kind] > 0) ||
      (failOn.has('gaps') && read.gaps.length > 0)
    return isFailed ? 1 : 0
  },
}
