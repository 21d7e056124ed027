// All teams: who they are, what they use, what is nearly used up.

import { html } from 'htm/preact'
import { useData } from '../api.js'
import { linkTo } from '../address.js'
import { number, percent } from '../format.js'
import { Head, Mark, Share, State, Table, Texts, When } from '../parts.js'

/** @typedef {import('../../admin/console/team-view.ts').TeamsView} TeamsView */

export function Teams() {
  const found = useData('/api/teams', 10_000)
  const data = /** @type {TeamsView | null} */ (found.data)
  return html`<${Head} title="Teams">${data !== null && html`<p>Requests are counted since <${When} time=${data.since} both />.</p>`}<//>
    <${State} of=${found} what="the teams">
      ${data !== null && html`<${Nearest} teams=${data.teams} />`}
      <${Table}
        caption="Teams"
        quiet
        wide=${[0, 1, 6, 7]}
        heads=${['Team', 'Owner', 'Organizations', 'Requests', 'Refused', 'Last call', 'Tightest budget', 'Grants nobody used']}
        numbers=${[3, 4]}
        rows=${data?.teams ?? []}
        empty="The policies define no team."
        cells=${(/** @type {TeamsView['teams'][number]} */ each) => [
          html`<a href=${linkTo(['teams', each.id])}>${each.id}</a>${each.blocked && html` <${Mark} kind="bad">blocked<//>`}${each.description !== null && html`<div class="muted">${each.description}</div>`}`,
          each.owner === null && each.contact === null
            ? html`<span class="muted">not named</span>`
            : html`${each.owner}${each.contact !== null && html`<div class="muted">${each.contact}</div>`}`,
          typeof each.organizations === 'string' ? 'all' : each.organizations.join(', '),
          number(each.requests),
          number(each.refused),
          html`<${When} time=${each.last_call} never="none lately" />`,
          each.tightest_budget === null
            ? null
            : html`<${Share} percent=${each.tightest_budget.used_percent} what=${`Used of ${each.tightest_budget.name}`} /> <span class="muted">${each.tightest_budget.name}</span>`,
          each.unused_grants.length === 0 ? null : html`<${Texts} texts=${each.unused_grants} />`,
        ]}
      />
    <//>`
}

/** Who has to be looked at first. @param {{ teams: TeamsView['teams'] }} props */
function Nearest({ teams }) {
  const found = teams
    .filter(({ tightest_budget: budget }) => (budget?.used_percent ?? 0) > 0)
    .toSorted((a, b) => (b.tightest_budget?.used_percent ?? 0) - (a.tightest_budget?.used_percent ?? 0))
  const [first] = found
  if (first === undefined || first.tightest_budget === null) return null
  const { name, used_percent: used, outlook } = first.tightest_budget
  return html`<p>Nearest to the end of a budget: <a href=${linkTo(['teams', first.id])}>${first.id}</a>, which has used ${percent(used)} of ${name}. ${outlook}</p>`
}
