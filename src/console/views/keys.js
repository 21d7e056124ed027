// The inventory of keys: state, age, last use, source, who Devin says they are, and rotations.

import { html } from 'htm/preact'
import { call, useData } from '../api.js'
import { linkTo } from '../address.js'
import { span } from '../format.js'
import { Change, Facts, Head, listed, Mark, Source, State, Table, When, withCode } from '../parts.js'
import { useMay } from '../session.js'
import { Block } from './blocks.js'
import { Steps } from './decision.js'

/** As in docs/admin-api.yaml: the sources of these views know parts of the gateway that browsers do not have. */
/** @typedef {{ name: string | null, service_user: string | null, checked_at: string | null, fault: string | null, action: string | null, ends_at: string | null }} KeyIdentity */
/** @typedef {{ id: string, scope: string, organization: string | null, serves_organizations: string | readonly string[], permissions: readonly string[], unused_permissions: readonly string[], state: string, version: number, loaded_at: string | null, value_age_seconds: number | null, source_version: string | null, source_error: string | null, last_used_at: string | null, expires_at: string | null, source: string, same_value_as?: string | null, identity?: KeyIdentity }} KeyView */
/** @typedef {{ id: string, key: string, state: 'running' | 'stopped' | 'done' | 'undone', phase: string, by: string, began_at: string, ended_at: string | null, reason: string | null, fault: string | null, waiting: string | null, steps: readonly { at: string, text: string }[] }} RotationView */

/** @typedef {import('../../admin/console/key-report-view.ts').KeyReportView} KeyReportView */
/** @typedef {import('../../admin/console/key-report-view.ts').KeyFindingView} KeyFindingView */

/** @type {Record<string, string>} */
const stateWords = {
  rejected: 'Devin rejects it',
  'set-aside': 'Devin rejected it; it is tried again later',
  expired: 'its end in the inventory has passed',
  quarantined: 'it is another key than the inventory says',
  unresolved: 'its source cannot be read',
  blocked: 'operators have blocked it',
}

/** @param {{ query: URLSearchParams }} props */
export function Keys({ query }) {
  const found = useData('/api/keys', 5000)
  const rotations = useData('/api/rotations', 5000)
  const reported = useData('/api/keys/report', 5000)
  const report = /** @type {KeyReportView | null} */ (reported.data)
  const keys = /** @type {readonly KeyView[]} */ (found.data ?? [])
  const chosen = query.get('key')
  const one = keys.find(({ id }) => id === chosen)
  return html`<${Head} title="Keys"><p>Names, permissions and times. No value of a key is shown anywhere.</p><//>
    <${State} of=${found} what="the keys">
      ${chosen !== null && one === undefined && html`<p class="notice warn">There is no key ${chosen} in the inventory.</p>`}
      ${one !== undefined && html`<${Detail} key=${one.id} view=${one} report=${report} again=${() => (found.again(), rotations.again())} />`}
      <${Table} caption="Keys of the inventory" quiet heads=${['Key', 'State', 'Scope', 'Service user', 'Last use', 'Value', 'Ends', 'Declared at']} wide=${[0, 1]} rows=${keys} empty="The inventory has no key, so nothing can be forwarded."
        cells=${(/** @type {KeyView} */ each) => [
          html`<a href=${linkTo(['keys'], { key: each.id })}>${each.id}</a>`,
          html`<${KeyState} of=${each.state} />`,
          scopeText(each),
          each.identity?.name ?? null,
          html`<${When} time=${each.last_used_at} both never="not since the start" />`,
          each.source_error ??
            (each.loaded_at === null ? 'none' : html`version ${each.version}, <${When} time=${each.loaded_at} />`),
          (each.expires_at ?? each.identity?.ends_at ?? null) === null
            ? null
            : html`<${When} time=${each.expires_at ?? each.identity?.ends_at} both />`,
          html`<${Source} of=${each.source} />`,
        ]} />
    <//>
    <h2>Report</h2>
    <${State} of=${reported} what="the report">${report !== null && html`<${Report} of=${report} keys=${keys} />`}<//>
    <h2>Rotations</h2>
    <${State} of=${rotations} what="rotations">
      ${(rotations.data ?? []).length === 0 && html`<p class="empty">No key has been rotated by the gateway.</p>`}
      ${/** @type {readonly RotationView[]} */ (rotations.data ?? []).map((each) => html`<${Rotation} key=${each.id} of=${each} />`)}
    <//>`
}

/** @param {KeyView} key */
function scopeText({ scope, organization, serves_organizations: serves }) {
  const others = serves === 'none' ? '' : `, serves ${typeof serves === 'string' ? serves : serves.join(', ')}`
  return `${organization ?? scope}${others}`
}

/** @param {{ of: string }} props */
function KeyState({ of: state }) {
  const words = stateWords[state]
  return html`<${Mark} kind=${state === 'ready' ? 'good' : 'bad'}>${state}<//>${words !== undefined && html` <span class="muted">${words}</span>`}`
}

/** @type {Record<KeyFindingView['urgency'], readonly ['bad' | 'warn' | 'plain', string]>} */
const urgencyWords = { now: ['bad', 'now'], soon: ['warn', 'soon'], later: ['plain', 'later'] }

/** @param {{ of: KeyFindingView['urgency'] }} props */
function Urgency({ of }) {
  const [kind, word] = urgencyWords[of]
  return html`<${Mark} kind=${kind}>${word}<//>`
}

/** What is known of the report, as a sentence; null where it is known. @param {KeyReportView} report */
function reportState({ state, revision }) {
  if (state === 'known') return null
  if (state === 'failed') return 'The report could not be made; the log says why. It is tried again.'
  return revision === null
    ? 'Not known yet: what each key can do is being decided.'
    : 'The policies have changed, and what each key can do is being decided. What is shown is of the policies before.'
}

/** @param {{ of: KeyReportView, keys: readonly KeyView[] }} props */
function Report({ of: report, keys }) {
  const { findings, watched_since: since, unused_told_from: from, revision } = report
  const unknown = reportState(report)
  const isEarly = Date.parse(from) > Date.now()
  const unused = keys.filter(({ last_used_at: last }) => last === null).map(({ id }) => id)
  return html`
    <p class="muted">What each key can do, against what the policies need and what is used. Uses are watched since <${When} time=${since} both />.${isEarly && html` What nobody uses becomes a finding at <${When} time=${from} both />.`}</p>
    ${isEarly && keys.length > 0 && html`<p>${unused.length === 0 ? 'Every key has been used since then.' : `Not used since then: ${unused.join(', ')}.`}</p>`}
    ${unknown !== null && html`<p class=${`notice ${report.state === 'failed' ? 'bad' : 'warn'}`} role="status">${unknown}</p>`}
    ${
      revision !== null &&
      html`<${Table} caption="Findings about keys, the most urgent first" quiet heads=${['Urgency', 'What', 'What to do', 'Key', 'Declared at']} wide=${[1, 2]} rows=${findings} empty="No key can do more than is needed, and none ends soon."
      cells=${(/** @type {KeyFindingView} */ each) => [
        html`<${Urgency} of=${each.urgency} />`,
        each.what,
        withCode(each.do),
        html`<a href=${linkTo(['keys'], { key: each.key })}>${each.key}</a>`,
        html`<${Source} of=${each.source} />`,
      ]} />`
    }`
}

/** The findings about one key. @param {{ of: KeyReportView, id: string }} props */
function ReportOfKey({ of: report, id }) {
  const findings = report.findings.filter(({ key }) => key === id)
  const unknown = reportState(report)
  if (unknown !== null && report.revision === null) return html`<p class="notice warn" role="status">${unknown}</p>`
  if (findings.length === 0) return html`<p>The report says nothing about it.</p>`
  return html`<ul class="texts">${findings.map((each) => html`<li><${Urgency} of=${each.urgency} /> ${each.what} ${withCode(each.do)}</li>`)}</ul>`
}

/** @param {{ view: KeyView, report: KeyReportView | null, again: () => void }} props */
function Detail({ view, report, again }) {
  const { id, identity, unused_permissions: unused } = view
  const may = useMay('key_officer')
  const powers = report?.keys.find(({ key }) => key === id)
  /** @param {'begin' | 'plan'} action @param {string} reason */
  const ask = async (action, reason) => {
    const done = await call('POST', '/api/rotations', { key: id, action }, { reason })
    if (done.refused?.length > 0) return `It may not begin: ${done.refused.join('; ')}`
    return done.steps === undefined
      ? String(done.error ?? 'It has begun.')
      : action === 'plan'
        ? `It would: ${done.steps.join('; ')}.`
        : `The rotation is ${done.state}, ${done.phase}.`
  }
  return html`<section class="one" aria-label=${`Key ${id}`}>
    <h2>${id}</h2>
    ${(identity?.fault ?? null) !== null && html`<p class="notice bad">${identity?.fault} ${identity?.action}</p>`}
    ${view.source_error !== null && html`<p class="notice bad">Its source cannot be read: ${view.source_error}</p>`}
    ${report !== null && html`<${ReportOfKey} of=${report} id=${id} />`}
    <${Facts} pairs=${[
      ['State', html`<${KeyState} of=${view.state} />`],
      ['Scope', scopeText(view)],
      ['Service user', identity?.name],
      ['Its id at Devin', identity?.service_user],
      ['Asked Devin who it is', html`<${When} time=${identity?.checked_at} both />`],
      ['Last use', html`<${When} time=${view.last_used_at} both never="not since the start" />`],
      ['Permissions', listed(view.permissions)],
      ['Serves teams', powers === undefined ? null : (listed(powers.teams) ?? 'none')],
      ['Permissions that a right needs', powers === undefined ? null : (listed(powers.needed) ?? 'none')],
      ['The gateway itself may use it for', powers === undefined ? null : listed(powers.gateway_uses)],
      ['Never used since the start', listed(unused) ?? 'all permissions have been used'],
      [
        'Value',
        view.loaded_at === null
          ? 'none'
          : html`version ${view.version}, read <${When} time=${view.loaded_at} both />${view.value_age_seconds !== null && html`; its source was asked ${span(view.value_age_seconds)} ago`}`,
      ],
      ['Declared at', html`<${Source} of=${view.source} />`],
      ['Version at the source', view.source_version],
      ['Same value as', view.same_value_as],
    ]} />
    <div class="buttons">
      <a href=${linkTo(['decisions'], { key: id })}>Decisions that used it</a>
      ${may && html`<${Change} label="Plan a rotation" title=${`Rotation of ${id}`} text="Shows the steps. Nothing is changed." needs="nothing" run=${() => ask('plan', '')} />`}
      ${may && html`<${Change} label="Rotate" danger title=${`Rotate ${id}`} text="A new key is made at Devin, tried with a share of the requests, and the old one is revoked." run=${(/** @type {string} */ reason) => ask('begin', reason)} after=${again} />`}
      <${Block} kind="key" value=${id} label="Block the key" after=${again} />
    </div>
  </section>`
}

/** @param {{ of: RotationView }} props */
function Rotation({ of: { key, state, phase, by, began_at: began, ended_at: ended, reason, fault, waiting, steps } }) {
  return html`<details open=${state === 'running' || state === 'stopped'}>
    <summary>${key}: <${Mark} kind=${state === 'done' ? 'good' : state === 'running' ? 'plain' : 'warn'}>${state}<//> ${phase}, by ${by}, <${When} time=${ended ?? began} both /></summary>
    ${[fault, reason, waiting].filter((each) => each !== null).map((each) => html`<p>${each}</p>`)}
    <${Steps} steps=${steps.map(({ at, text }) => ({ stage: at.slice(11, 19), ok: true, text }))} />
  </details>`
}
