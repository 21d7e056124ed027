// `budget`: the status of the budgets of the running gateway.

import { requireTeam } from '../callers/known.ts'
import type { BudgetView } from '../../admin/views.ts'
import type { Command } from '../invocation.ts'
import { operatorOption, operatorsOf, type Operators } from '../operators.ts'
import { configOption, readRunningConfig } from '../setup.ts'

export const budgetCommand: Command = {
  usage: 'budget [--team T] [--config F]',
  summary: 'show the budgets of the running gateway: spent, reserved, left, forecast, next window',
  positionals: 0,
  options: { ...configOption, ...operatorOption, team: { type: 'string', help: 'only budgets of this team' } },
  async run(invocation) {
    const { config } = await readRunningConfig(invocation)
    const team = invocation.option('team')
    const all = await budgetsOf(operatorsOf(config, invocation))
    const budgets = team === null ? all : all.filter((budget) => budget.team === team)
    if (team !== null && budgets.length === 0) await requireTeam(invocation, team)
    if (invocation.json) {
      invocation.print(JSON.stringify({ budgets }))
      return 0
    }
    if (budgets.length === 0) invocation.print(team === null ? 'there are no budgets' : `team ${team} has no budgets`)
    const { paint } = invocation
    for (const budget of budgets) {
      const { name, owner, limit, soft_limit, spent, reserved, left, used_percent, level, forecast, resets_at } = budget
      const used = used_percent === null ? '' : `  ${used_percent} %`
      const bound = limit ?? `no hard bound, soft bound ${soft_limit ?? ''}`
      const mode = budget.mode === 'shadow' ? '  (shadow: counted, not applied)' : ''
      invocation.print(
        `${paint('bold', `${name} of ${owner}`)}  ${bound}${level >= 80 ? paint('yellow', used) : used}${mode}`,
      )
      invocation.print(`    spent ${spent}, reserved ${reserved}${left === null ? '' : `, left ${left}`}`)
      if (resets_at !== null)
        invocation.print(
          `    begins anew ${resets_at}${forecast === null ? '' : `, by then about ${forecast} at this pace`}`,
        )
    }
    return 0
  },
}

async function budgetsOf({ demand }: Operators): Promise<readonly BudgetView[]> {
  const response = await demand('/api/budgets', 5000)
  if (!response.ok) throw new Error('the running gateway cannot read where its budgets are kept; its log says why')
  // Our own listener's answer.
  return (await response.json()) as BudgetView[]
}
