// One team: limits and budgets with what is left, what it calls, what it is refused, what it never uses.

import { html } from 'htm/preact'
import { useData } from '../api.js'
import { linkTo } from '../address.js'
import { number, span } from '../format.js'
import { Facts, Head, Mark, Share, Source, State, Table, Texts, When } from '../parts.js'
import { Block } from './blocks.js'

/** @typedef {import('../../admin/console/team-view.ts').TeamDetailView} TeamDetailView */

/** @param {{ id: string }} props */
export function Team({ id }) {
  const found = useData(`/api/teams/${encodeURIComponent(id)}`, 10_000)
  const data = /** @type {TeamDetailView | null} */ (found.data)
  return html`<${Head} title=${`Team ${id}`}><p><a href=${linkTo(['teams'])}>All teams</a> · <a href=${linkTo(['decisions'], { team: id })}>Its decisions</a> · <a href=${linkTo(['policies'], { team: id })}>What it may do</a></p>${data !== null && html`<${Block} kind="team" value=${id} label="Block the team" after=${found.again} />`}<//>
    <${State} of=${found} what="the team">${data !== null && html`<${Detail} detail=${data} />`}<//>`
}

/** @param {{ detail: TeamDetailView }} props */
function Detail({ detail }) {
  const { team, members, grants, limits, budgets, budgets_note: note, calls, refusals, never_used: unused } = detail
  return html`
    ${team.blocked && html`<p class="notice bad">This team is blocked. <a href=${linkTo(['blocks'])}>See the blocks</a></p>`}
    <${Facts} pairs=${[
      ['What it is', team.description],
      ['Owner', [team.owner, team.contact].filter((each) => each !== null).join(', ') || 'not named'],
      [
        'Organizations',
        typeof team.organizations === 'string' ? 'all' : html`<${Texts} texts=${team.organizations} />`,
      ],
      ['Members', html`<${Texts} texts=${members} none="nobody" />`],
      ['Last call', html`<${When} time=${team.last_call} both never="none lately" />`],
    ]} />
    <h2>Budgets</h2>
    ${note !== null && html`<p class="notice warn">${note}</p>`}
    <${Table} caption="Budgets" quiet wide=${[0, 6]} heads=${['Budget', 'Limit', 'Spent', 'Reserved', 'Left', 'Used', 'Outlook', 'Resets']} numbers=${[2, 3, 4]} rows=${budgets} empty="The team has no budget."
      cells=${(/** @type {TeamDetailView['budgets'][number]} */ each) => [
        each.mode === 'shadow' ? `${each.name} (counted, not enforced)` : each.name,
        each.limit,
        number(each.spent),
        number(each.reserved),
        number(each.left),
        each.used_percent === null
          ? null
          : html`<${Share} percent=${each.used_percent} what=${`Used of ${each.name}`} />`,
        each.outlook,
        each.resets_at === null ? null : html`<${When} time=${each.resets_at} />`,
      ]} />
    <h2>Limits</h2>
    <${Table} caption="Limits" quiet wide=${[0]} heads=${['Limit', 'Whose', 'Amount', 'Left', 'Used', 'Resets in']} numbers=${[3]} rows=${limits} empty="The team has no limit."
      cells=${(/** @type {TeamDetailView['limits'][number]} */ each) => [
        each.mode === 'shadow' ? `${each.name} (counted, not enforced)` : each.name,
        each.whose,
        each.limit,
        each.left === null ? null : number(each.left),
        each.used_percent === null
          ? null
          : html`<${Share} percent=${each.used_percent} what=${`Used of ${each.name}`} />`,
        each.resets_in_seconds === null ? null : span(each.resets_in_seconds),
      ]} />
    <h2>What it calls</h2>
    <${Table} caption="Operations since the start" wide=${[0]} heads=${['Operation', 'Requests', 'Refused', 'Failed']} numbers=${[1, 2, 3]} rows=${calls} empty="The team has called nothing since the start."
      cells=${(/** @type {TeamDetailView['calls'][number]} */ each) => [
        html`<a href=${linkTo(['decisions'], { team: team.id, operation: each.operation })}>${each.operation}</a>`,
        number(each.requests),
        number(each.refused),
        number(each.failed),
      ]} />
    <h2>What it is refused</h2>
    <${Table} caption="Refusals of the decisions in memory" heads=${['Reason', 'Count', 'Last', 'Example']} wide=${[0]} numbers=${[1]} rows=${refusals} empty="The team has been refused nothing lately."
      cells=${(/** @type {TeamDetailView['refusals'][number]} */ each) => [
        html`<a href=${linkTo(['decisions'], { team: team.id, reason: each.reason })}>${each.reason}</a>`,
        number(each.count),
        html`<${When} time=${each.last_at} />`,
        html`<a href=${linkTo(['decisions', each.example])}>see one</a>`,
      ]} />
    <h2>Grants</h2>
    <${Table} caption="Grants" quiet wide=${[0, 1]} heads=${['Grant', 'Allows', 'Organizations', 'When', 'Until', 'Owner', 'Where', 'Since the start']} rows=${grants} empty="The team has no grant, so it may do nothing."
      cells=${(/** @type {TeamDetailView['grants'][number]} */ each) => [
        html`${each.id}${each.mode !== 'enforce' && ` (${each.mode})`}${each.description !== null && html` <span class="muted">${each.description}</span>`}`,
        html`<${Texts} texts=${each.allow} />`,
        each.organizations === null ? 'all of the team' : each.organizations.join(', '),
        each.when,
        each.until === null ? null : html`<${When} time=${each.until} both />`,
        each.owner,
        html`<${Source} of=${each.source} />`,
        team.unused_grants.includes(each.id) ? html`<${Mark} kind="warn">nobody used it<//>` : null,
      ]} />
    <h2>What it never uses</h2>
    <${Table} caption="Operations that a grant allows and nobody of the team has called since the start" wide=${[0, 1]} heads=${['Operation', 'Request', 'Grants']} rows=${unused} empty="The team uses everything that it may use."
      cells=${(/** @type {TeamDetailView['never_used'][number]} */ each) => [each.operation, html`<code>${each.method} ${each.path}</code>`, each.grants.join(', ')]} />`
}
