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
        heads=${['Team', 'Owner', 'Organizations', 'Requests', 'Refused', 'Last call', 'Tightest budget', 'State']}
        numbers=${[3, 4]}
        rows=${data?.teams ?? []}
        empty="The policies define no team."
        cells=${(/** @type {TeamsView['teams'][number]} */ each) => [
          html`<a href=${linkTo(['teams', each.id])}>${each.id}</a>${each.description !== null && html` <span class="muted">${each.description}</span>`}`,
          [each.owner, each.contact].filter((one) => one !== null).join(', ') || 'nobody is named',
          typeof each.organizations === 'string' ? 'all' : each.organizations.join(', '),
          number(each.requests),
          number(each.refused),
          html`<${When} time=${each.last_call} />`,
          each.tightest_budget === null
            ? 'none'
            : html`${each.tightest_budget.name} <${Share} percent=${each.tightest_budget.used_percent} what=${`Used of ${each.tightest_budget.name}`} />`,
          each.blocked ? html`<${Mark} kind="bad">blocked<//>` : html`<${Mark} kind="good">in force<//>`,
        ]}
      />
    <//>`
}
