// All teams: who they are, what they use, what is nearly used up.

import { html } from 'htm/preact'
import { useData } from '../api.js'
import { linkTo } from '../address.js'
import { number } from '../format.js'
import { Head, Mark, Share, State, Table, When } from '../parts.js'

/** @typedef {import('../../admin/console/team-view.ts').TeamsView} TeamsView */

export function Teams() {
  const found = useData('/api/teams', 10_000)
  const data = /** @type {TeamsView | null} */ (found.data)
  return html`<${Head} title="Teams">${data !== null && html`<p>Requests are counted since <${When} time=${data.since} both />.</p>`}<//>
    <${State} of=${found} what="the teams">
      <${Table}
        caption="Teams"
        quiet
        wide=${[0, 1, 6]}
        heads=${['Team', 'Owner', 'Organizations', 'Requests', 'Refused', 'Last call', 'Tightest budget']}
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
          html`<${When} time=${each.last_call} />`,
          each.tightest_budget === null
            ? null
            : html`<${Share} percent=${each.tightest_budget.used_percent} what=${`Used of ${each.tightest_budget.name}`} /> <span class="muted">${each.tightest_budget.name}</span>`,
        ]}
      />
    <//>`
}
