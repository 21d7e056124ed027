// `shadow`: what the shadow set of the running gateway decides otherwise than the policies in force.

import { requireTeam } from '../../callers/known.ts'
import { counted } from '../../../config/plural.ts'
import { shellOption, shellWord } from '../../../policy/tools/shell-word.ts'
import type { ShadowAnswer } from '../../../admin/views.ts'
import type { Command, Invocation } from '../../invocation.ts'
import { operatorOption, operatorsOf, type Operators } from '../../operators.ts'
import { configOption, readRunningConfig } from '../../setup.ts'

export const shadowCommand: Command = {
  usage: 'shadow [--team T] [--config F]',
  summary:
    'show what the shadow set of the running gateway decides otherwise than the policies in force; ends with 1 where the set was refused',
  positionals: 0,
  options: { ...configOption, ...operatorOption, team: { type: 'string', help: 'only disagreements about this team' } },
  async run(invocation) {
    const { config } = await readRunningConfig(invocation)
    const answer = await shadowOf(operatorsOf(config, invocation))
    const team = invocation.option('team')
    const disagreements =
      team === null ? answer.disagreements : answer.disagreements.filter((each) => each.team === team)
    if (team !== null && disagreements.length === 0)
      await requireTeam(invocation, team, [config.shadowPoliciesDirectory])
    if (invocation.json) invocation.print(JSON.stringify({ ...answer, disagreements }))
    else {
      printAnswer(invocation, { ...answer, disagreements }, config.shadowPoliciesDirectory ?? answer.directory)
      if (team !== null && disagreements.length === 0) invocation.print(`none of them is about team ${team}`)
    }
    return answer.last_refusal === null ? 0 : 1
  },
}

async function shadowOf({ demand }: Operators): Promise<ShadowAnswer> {
  const response = await demand('/api/shadow', 5000)
  if (response.status === 404)
    throw new Error(
      'the running gateway has no shadow set: name its directory as shadow_policies in config/gateway.yaml, and start again',
    )
  if (!response.ok) throw new Error('the running gateway cannot say what its shadow set decides; its log says why')
  // Our own listener's answer.
  return (await response.json()) as ShadowAnswer
}

function printAnswer(invocation: Invocation, answer: ShadowAnswer, directory: string): void {
  const { paint } = invocation
  const { revision, in_force, since, decided, same, different, dropped, disagreements, last_refusal } = answer
  if (last_refusal !== null) {
    const before = revision === null ? 'nothing is decided beside the policies in force' : 'the one before is decided'
    invocation.print(paint('yellow', `The shadow set at ${directory} was refused, so ${before}:`))
    for (const diagnostic of last_refusal.diagnostics) invocation.print(`    ${diagnostic}`)
  }
  if (revision === null) return
  invocation.print(`Shadow set ${revision} beside ${in_force} in force, since ${since}`)
  invocation.print(`${counted(decided, 'request')} decided by both: ${same} alike, ${different} different`)
  const doubts = Object.entries(answer.undecided).filter(([, count]) => count > 0)
  for (const [reason, count] of doubts) invocation.print(`${count} undecided: ${reasonTexts[reason] ?? reason}`)
  if (dropped > 0) invocation.print(`${dropped} not looked at: too many waited`)
  for (const { change, team, operation, count, examples } of disagreements) {
    const colour = change === 'gained' ? 'red' : 'yellow'
    invocation.print('')
    invocation.print(
      `${paint(colour, change)}  ${paint('bold', operation)}  ${team === null ? 'no team' : `team ${team}`}  ${counted(count, 'request')}`,
    )
    for (const { at, decision_id, method, path, subject, app, from, to } of examples) {
      const who = app === null ? subject : `${subject} through ${app}`
      invocation.print(`    ${method} ${path}  by ${who}  ${at}  decision ${decision_id}`)
      invocation.print(`        in force: ${from}`)
      invocation.print(`        shadow:   ${to}`)
    }
  }
  if (answer.not_shown > 0) {
    invocation.print('')
    invocation.print(`${answer.not_shown} more are only counted in the metrics`)
  }
  if (disagreements.length > 0) {
    invocation.print('')
    invocation.print(
      `See why: devin-gateway explain --decision ID --log FILE ${shellOption('policies', directory)}   All rights: devin-gateway diff running ${shellWord(directory)}`,
    )
  }
}

const reasonTexts: Readonly<Record<string, string>> = {
  body: 'the shadow set reads a body that was not kept',
  'devin-user': "the shadow set asks for the caller's user at Devin, which was not looked up",
  unfinished: 'the request ended before the policies in force had decided it',
  changed: 'policies changed, or a right ended, while the request was under way',
  failed: "an error of the gateway's own; its log says more",
}
