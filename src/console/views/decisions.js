// The latest decisions, live, and the search.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { useData } from '../api.js'
import { fieldsOf, go, linkTo } from '../address.js'
import { clock, milliseconds } from '../format.js'
import { Head, Mark, State, Table, TeamLink } from '../parts.js'

/** @typedef {import('../../admin/console/decision-view.ts').DecisionView} DecisionView */

const texts = [
  ['id', 'Decision or request id'],
  ['subject', 'Subject'],
  ['team', 'Team'],
  ['operation', 'Operation'],
  ['organization', 'Organization'],
  ['reason', 'Reason or problem'],
  ['key', 'Key'],
  ['from', 'From (UTC)'],
  ['to', 'To (UTC)'],
]
const outcomes = ['forwarded', 'cached', 'replayed', 'answered', 'refused', 'aborted', 'failed']
const names = [...texts.map(([name]) => name ?? ''), 'effect', 'outcome']

/** On a narrow page the form is longer than the screen. */
const isWide = () => window.matchMedia('(min-width: 701px)').matches

/** @param {{ query: URLSearchParams }} props */
export function Decisions({ query }) {
  const filters = Object.fromEntries(names.map((name) => [name, query.get(name)]))
  const cursor = query.get('cursor')
  const [live, setLive] = useState(true)
  const asked = new URLSearchParams(
    Object.entries({ ...filters, cursor, limit: '50' }).flatMap(([name, value]) =>
      value === null || value === '' ? [] : [[name, value]],
    ),
  )
  // What is in files is searched once; only the newest page grows.
  const isSearch = Object.values(filters).some((value) => value !== null && value !== '')
  const found = useData(`/api/decisions?${asked}`, live && cursor === null ? (isSearch ? 10_000 : 2000) : 0)
  const data = /** @type {import('../../admin/console/decision-view.ts').DecisionsView | null} */ (found.data)
  /** @param {any} event */
  const search = (event) => {
    event.preventDefault()
    go(linkTo(['decisions'], fieldsOf(event.target)))
  }
  return html`<${Head} title="Decisions"><p>Newest first. Filters match whole values, and all have to match.</p>${cursor === null && html`<label class="check"><input type="checkbox" checked=${live} onChange=${(/** @type {any} */ event) => setLive(event.target.checked)} /> Live</label>`}<//>
    <details class="folded" open=${isSearch || isWide()}>
      <summary>Filters</summary>
      <form class="filters" role="search" onSubmit=${search} key=${query.toString()}>
        ${texts.map(([name, label]) => html`<label>${label}<input name=${name} id=${name === 'id' ? 'search' : undefined} defaultValue=${filters[name ?? ''] ?? ''} autocomplete="off" placeholder=${name === 'from' || name === 'to' ? '2026-01-31T12:00:00Z' : ''} /></label>`)}
        <label>Effect<select name="effect">${['', 'allow', 'deny'].map((each) => html`<option value=${each} selected=${each === (filters['effect'] ?? '')}>${each === '' ? 'any' : each}</option>`)}</select></label>
        <label>Outcome<select name="outcome">${['', ...outcomes].map((each) => html`<option value=${each} selected=${each === (filters['outcome'] ?? '')}>${each === '' ? 'any' : each}</option>`)}</select></label>
        <div class="buttons"><button type="submit" class="main">Search</button>${isSearch && html`<a href=${linkTo(['decisions'])}>Clear</a>`}</div>
      </form>
    </details>
    <${State} of=${found} what="decisions">
      <${Table}
        caption="Decisions"
        quiet
        dense
        heads=${['Time', 'Outcome', 'Operation', 'Organization', 'Team', 'Subject', 'Key', 'Took']}
        numbers=${[7]}
        wide=${[2]}
        keyOf=${(/** @type {DecisionView} */ each) => each.decision_id}
        rows=${data?.decisions ?? []}
        empty=${isSearch ? 'No decision matches, as far as was searched.' : 'There has been no request yet.'}
        cells=${(/** @type {DecisionView} */ each) => [
          html`<a href=${linkTo(['decisions', each.decision_id])} title=${each.decision_id}>${clock(each.time)}<span class="unseen">, decision ${each.decision_id.slice(0, 8)}</span></a>`,
          html`<${Outcome} of=${each} />${each.reason !== 'granted' && html` <span class="why">${each.reason}</span>`}`,
          each.operation ?? each.path,
          each.organization === null ? null : html`<span class="long">${each.organization}</span>`,
          each.team === null ? null : html`<${TeamLink} id=${each.team} />`,
          each.subject === null
            ? null
            : html`<a class="long" href=${linkTo(['decisions'], { subject: each.subject })}>${each.subject}</a>`,
          each.key === null ? null : html`<a href=${linkTo(['keys'], { key: each.key })}>${each.key}</a>`,
          each.duration_ms === null ? null : milliseconds(each.duration_ms),
        ]}
      />
      ${data !== null && html`<p class="muted">${data.searched.note}</p>`}
      ${data !== null && data.next !== null && html`<p><a href=${linkTo(['decisions'], { ...filters, cursor: data.next })}>Older decisions</a></p>`}
    <//>`
}

/** @param {{ of: Pick<DecisionView, 'effect' | 'outcome' | 'status'> }} props */
export function Outcome({ of: { effect, outcome, status } }) {
  const kind =
    effect === 'deny' || outcome === 'refused' || outcome === 'failed' ? 'bad' : outcome === 'aborted' ? 'warn' : 'good'
  return html`<${Mark} kind=${kind}>${outcome}${status === null ? '' : ` ${status}`}<//>`
}
