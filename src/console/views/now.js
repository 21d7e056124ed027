// What is wrong, whose it is, since when, what to do; then the traffic.

import { html } from 'htm/preact'
import { useMemo } from 'preact/hooks'
import { useData } from '../api.js'
import { linkTo } from '../address.js'
import { bytes, counted, distance, milliseconds, number, percent, clock } from '../format.js'
import { Figure, Head, Mark, State, Table, When, withCode } from '../parts.js'
import { Plot } from '../plot.js'

/** @typedef {import('../../admin/console/now-view.ts').NowView} NowView */
/** @typedef {import('../../admin/console/now-view.ts').SeriesView} SeriesView */
/** @typedef {import('../../admin/console/now-view.ts').TroubleView} TroubleView */

const severities = /** @type {const} */ ({
  outage: ['Outage', 'bad'],
  degraded: ['Degraded', 'warn'],
  warning: ['Warning', 'plain'],
})

/** Where more is seen of what a trouble is about. @param {TroubleView['about']} about @param {string} id @returns {readonly [string, string] | null} */
function viewOf({ kind, name }, id) {
  if (id.endsWith(':errors') || id.endsWith(':throttled'))
    return ['See answers of Devin', linkTo(['decisions'], { outcome: 'forwarded' })]
  if (id.endsWith(':forbidden')) return ['See its requests', linkTo(['decisions'], { key: name })]
  if (kind === 'issuer' && name === null) return ['See refused requests', linkTo(['decisions'], { outcome: 'refused' })]
  if (kind === 'key' && name === null) return ['See the requests', linkTo(['decisions'], { reason: 'key-unavailable' })]
  if (kind === 'key') return ['See the key', linkTo(['keys'], { key: name })]
  if (kind === 'policies' || kind === 'shadow') return ['See the policies', linkTo(['policies'])]
  if (kind === 'cache') return ['See the cache', linkTo(['cache'])]
  if (kind === 'audit') return ['See the audit log', linkTo(['audit'])]
  if (kind === 'block' && name !== null) return ['See its requests', linkTo(['decisions'], { subject: name })]
  if (kind === 'block') return ['See the blocks', linkTo(['blocks'])]
  if (kind === 'upstream') return ['See requests that failed', linkTo(['decisions'], { outcome: 'failed' })]
  if (kind === 'limit' && name !== null) return ['See the team', linkTo(['teams', name.split('/', 1)[0] ?? ''])]
  if (kind === 'budget') return ['See the teams', linkTo(['teams'])]
  return null
}

/** @param {{ trouble: TroubleView }} props */
function Trouble({ trouble }) {
  const { id, severity, what, since, owner, contact, do: advice, about } = trouble
  const more = viewOf(about, id)
  const [word, mark] = severities[severity]
  return html`<article class=${`trouble ${severity}`}>
    <${Mark} kind=${mark}>${word}<//>
    <div>
      <h3>${what}</h3>
      <dl>
        <div><dt>Owner</dt><dd>${whoseText(owner, contact)}</dd></div>
        <div><dt>Since</dt><dd>${clock(since)}, ${distance(since)}</dd></div>
        <div><dt>What to do</dt><dd>${withCode(advice)}${more !== null && html` <a href=${more[1]}>${more[0]}</a>`}</dd></div>
      </dl>
    </div>
  </article>`
}

/** @param {string} owner @param {string | null} contact */
function whoseText(owner, contact) {
  if (contact === null) return owner
  return contact.startsWith(`${owner} `) ? contact : `${owner} (${contact})`
}

/** So many warnings are shown; with more, nobody would see the traffic. */
const mostWarnings = 3

/** The gravest come first. @param {readonly TroubleView[]} troubles */
function troubleCards(troubles) {
  const cards = troubles.map((trouble) => html`<${Trouble} key=${trouble.id} trouble=${trouble} />`)
  const shown = troubles.filter(({ severity }) => severity !== 'warning').length + mostWarnings
  const rest = troubles.length - shown
  if (rest < 2) return cards
  return html`${cards.slice(0, shown)}<details><summary>${counted(rest, 'more warning')}</summary>${cards.slice(shown)}</details>`
}

export function Now() {
  const now = useData('/api/now', 2000)
  const series = useData('/api/series', 10_000)
  const data = /** @type {NowView | null} */ (now.data)
  return html`<${Head} title="Now">${data !== null && html`<p>${clock(data.at)} UTC · version ${data.instance.version} · started ${distance(data.instance.started_at)}${data.instance.workers > 1 && ` · ${data.instance.workers} workers`}</p>`}<//>
    <${State} of=${now} what="the state of the instance">${data !== null && html`<${Moment} now=${data} />`}<//>
    <h2>Last hour</h2>
    <${State} of=${series} what="the last hour">${series.data !== null && html`<${Hour} series=${series.data} />`}<//>
    ${data !== null && html`<${Refusals} now=${data} />`}`
}

/** @param {{ now: NowView }} props */
function Moment({ now }) {
  const { traffic, latency, cache, queue, memory, troubles } = now
  const grave = troubles.some(({ severity }) => severity === 'outage')
  const minutes = traffic.window_seconds >= 300 ? 'in the last 5 minutes' : `in the last ${traffic.window_seconds} s`
  return html`
    <p class=${`notice summary ${troubles.length === 0 && now.ready ? 'good' : grave || !now.ready ? 'bad' : 'warn'}`} role="status">${troubles.length === 0 ? now.summary : summaryText(now)}</p>
    ${troubles.length > 0 && html`<h2>What is wrong</h2>`}
    ${troubleCards(troubles)}
    <h2>Traffic</h2>
    <dl class="figures">
      <${Figure} name="Requests" value=${`${number(traffic.per_second)}/s`} note=${`${number(traffic.requests)} ${minutes}`} />
      <${Figure} name="In flight" value=${number(traffic.in_flight)} note=${`${number(queue.at_devin)} at Devin`} />
      <${Figure} name="Queue for Devin" value=${number(queue.waiting)} note=${`${counted(queue.connections, 'connection')} at most`} />
      <${Figure} name="Gateway latency" value=${milliseconds(latency.gateway.p50)} note=${`median; p99 ${milliseconds(latency.gateway.p99)}`} />
      <${Figure} name="Devin latency" value=${milliseconds(latency.devin.p50)} note=${`median; p99 ${milliseconds(latency.devin.p99)}`} />
      <${Figure} name="Cache hits" value=${percent(cache.hit_percent)} note=${`${number(cache.answered)} of ${number(cache.asked)} reads`} />
      <${Figure} name="Memory" value=${bytes(memory.rss_bytes)} note=${`${bytes(cache.bytes)} of it cached`} />
    </dl>
    <p>${outcomesText(traffic.outcomes)}</p>`
}

/** Each trouble is told below; the sentence of the API repeats the first. @param {NowView} now */
function summaryText({ troubles, ready, draining }) {
  const served = draining
    ? 'The instance is ending, and takes no new requests.'
    : !ready
      ? 'The instance is not ready: a balancer sends it no requests.'
      : troubles.some(({ severity }) => severity === 'outage')
        ? 'Some requests fail.'
        : 'Requests are served.'
  return `${served} ${counted(troubles.length, 'thing needs', 'things need')} attention.`
}

/** @type {Record<string, string>} */
const outcomeWords = {
  forwarded: 'forwarded to Devin',
  cached: 'answered from the cache',
  replayed: 'answered again for an idempotency key',
  answered: 'answered by the gateway itself',
  refused: 'refused',
  aborted: 'left by the caller',
  failed: 'failed',
}

/** @param {NowView['traffic']['outcomes']} outcomes */
function outcomesText(outcomes) {
  const said = Object.entries(outcomes).filter(([, count]) => (count ?? 0) > 0)
  if (said.length === 0) return 'No request has ended in this time.'
  return said.map(
    ([outcome, count], index) =>
      html`${index > 0 && ' · '}<a href=${linkTo(['decisions'], { outcome })}>${number(count)} ${outcomeWords[outcome] ?? outcome}</a>`,
  )
}

/** @param {{ series: SeriesView }} props */
function Hour({ series }) {
  const { at, columns } = series
  const plots = useMemo(
    () => [
      {
        title: 'Requests',
        unit: `in ${series.step_seconds} s`,
        show: number,
        lines: [line('all', columns.requests, 1), line('refused', columns.refused, 2)],
      },
      {
        title: 'Latency of the gateway',
        unit: 'without Devin',
        show: milliseconds,
        lines: [line('median', columns.gateway_p50_ms, 1), line('p99', columns.gateway_p99_ms, 2)],
      },
      {
        title: 'Latency of Devin',
        unit: 'of forwarded requests',
        show: milliseconds,
        lines: [line('median', columns.devin_p50_ms, 1), line('p99', columns.devin_p99_ms, 2)],
      },
      {
        title: 'Cache',
        unit: `in ${series.step_seconds} s`,
        show: number,
        lines: [line('asked', columns.cache_asked, 1), line('answered', columns.cache_answered, 2)],
      },
      {
        title: 'Queue',
        unit: 'requests',
        show: number,
        lines: [line('in flight', columns.in_flight, 1), line('waiting for Devin', columns.waiting, 2)],
      },
      { title: 'Memory', unit: 'of the process', show: bytes, lines: [line('resident', columns.rss_bytes, 1)] },
    ],
    [series],
  )
  if (at.length < 2) return html`<p class="empty">The plots begin ${2 * series.step_seconds} s after the start.</p>`
  return html`<div class="plots">${plots.map(({ title, unit, show, lines }) => html`<${Plot} key=${title} title=${title} unit=${unit} at=${at} lines=${lines} show=${show} />`)}</div>`
}

/** @param {string} label @param {readonly (number | null)[]} values @param {1 | 2} color */
function line(label, values, color) {
  return { label, values, color }
}

/** @param {{ now: NowView }} props */
function Refusals({ now }) {
  return html`<h2>Refusals</h2>
    <${Table}
      caption="Requests that were refused in this time, by reason"
      heads=${['Reason', 'Count', 'Teams', 'Last', 'Example']}
      numbers=${[1]}
      wide=${[0]}
      rows=${now.refusals}
      empty="No request was refused in this time."
      cells=${(/** @type {NowView['refusals'][number]} */ each) => [
        html`<a href=${linkTo(['decisions'], { reason: each.reason })}>${each.reason}</a>${each.problem !== null && each.problem !== each.reason && html` <span class="muted">(${each.problem})</span>`}`,
        number(each.count),
        each.teams.length === 0 ? 'no team' : each.teams.join(', '),
        html`<${When} time=${each.last_at} />`,
        html`<a href=${linkTo(['decisions', each.example])}>see one</a>`,
      ]}
    />`
}
