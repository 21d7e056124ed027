// `diff`: what changes in rights between two policy sets, for each team, operation and organization.

import { loadCatalogue } from '../../catalogue/load.ts'
import { comparePolicies, type ComparedSet } from '../../policy/comparison/compare.ts'
import { changeKinds } from '../../policy/comparison/words.ts'
import { comparisonMarkdown } from '../../policy/comparison/markdown.ts'
import { comparisonData, comparisonText } from '../../policy/comparison/report.ts'
import { failKinds } from '../fail-on.ts'
import type { Command, Invocation } from '../invocation.ts'
import { loadPolicySource, type PolicySourceOptions } from '../policy-source.ts'
import { bothOf, configOption, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

export const diffCommand: Command = {
  usage: 'diff A B [--fail-on KINDS] [--markdown] [--config F]',
  summary: 'show who gains and loses what between two policy sets: directories, git:REF, running, or shadow',
  positionals: 2,
  options: {
    ...configOption,
    'fail-on': { type: 'string', help: `exit with 1 on such changes, separated by commas: ${changeKinds.join(', ')}` },
    markdown: { type: 'boolean', help: 'a table for a review comment' },
  },
  async run(invocation) {
    const [from, to] = invocation.positionals
    if (from === undefined || to === undefined)
      throw new UsageError('say two policy sets: diff policies git:main, or diff running policies')
    const failOn = failKinds(invocation.option('fail-on'), changeKinds)
    const { config } = await readRunningConfig(invocation)
    const { catalogue } = await loadCatalogue(config.catalogue)
    const options = { config, catalogue, asker: invocation }
    const [one, other] = await loadBoth([from, to], options)
    for (const text of [...one.notes, ...other.notes]) invocation.tell(text)
    const comparison = comparePolicies(one, other)
    if (invocation.json) invocation.print(JSON.stringify(comparisonData(comparison)))
    else
      printAll(
        invocation,
        invocation.flag('markdown')
          ? comparisonMarkdown(comparison, [from, to])
          : comparisonText(comparison, [from, to]),
      )
    return comparison.undecided > 0 || comparison.changes.some(({ change }) => failOn.has(change)) ? 1 : 0
  },
}

interface LoadedSet extends ComparedSet {
  readonly notes: readonly string[]
}

/** Both are loaded before either is refused, and their diagnostics are told apart. */
async function loadBoth(
  names: readonly [string, string],
  options: PolicySourceOptions,
): Promise<readonly [LoadedSet, LoadedSet]> {
  const [from, to] = await bothOf(
    [loadPolicySource(names[0], options), loadPolicySource(names[1], options)],
    (diagnostics, index) =>
      diagnostics
        .filter(({ severity }) => severity === 'error')
        .map((each) => ({ ...each, message: `[${index === 0 ? 'A' : 'B'}: ${names[index] ?? ''}] ${each.message}` })),
  )
  return [
    { policy: from.loaded.policy, nameOf: from.nameOf, notes: from.notes },
    { policy: to.loaded.policy, nameOf: to.nameOf, notes: to.notes },
  ]
}

function printAll(invocation: Invocation, lines: readonly string[]): void {
  for (const line of lines) invocation.print(line)
}
