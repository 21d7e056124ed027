// The audit log: its chain, where its head is noted, and the latest changes.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { call, useData } from '../api.js'
import { clock, counted, number } from '../format.js'
import { Facts, Head, Mark, Change, State, Table, When } from '../parts.js'
import { useMay } from '../session.js'

/** @typedef {import('../../admin/console/policy-view.ts').AuditView} AuditView */
/** @typedef {import('../../admin/console/policy-view.ts').AuditCheckView} AuditCheckView */

export function Audit() {
  const found = useData('/api/audit', 5000)
  const data = /** @type {AuditView | null} */ (found.data)
  const may = useMay('operator')
  /** @param {string} reason */
  const sign = async (reason) => {
    const done = await call('POST', '/api/audit/checkpoint', undefined, { reason })
    return checkpointText(done)
  }
  return html`<${Head} title="Audit">${may && data !== null && data.anchors.length > 0 && html`<${Change} label="Sign the head now" title="Sign the head of the audit log" text="A checkpoint is signed and sent to every place that is configured." run=${sign} after=${found.again} />`}<//>
    <${State} of=${found} what="the audit log">${data !== null && html`<${Detail} audit=${data} />`}<//>`
}

/** @param {{ audit: AuditView }} props */
function Detail({ audit }) {
  return html`
    <p class=${`notice ${audit.healthy ? 'good' : 'bad'}`}>${audit.healthy ? 'The audit log is written.' : `The audit log cannot be written: ${audit.error ?? 'the log says why'}`}</p>
    <${Facts} pairs=${[
      ['Written to', html`<code>${audit.target}</code>`],
      ['Entries in the chain', number(audit.head.seq)],
      ['Hash of the head', html`<code>${audit.head.hash}</code>`],
    ]} />
    <${Check} target=${audit.target} />
    <h2>Where the head is noted</h2>
    <${Table} caption="Places outside the log that hold its head" wide=${[0, 3]} heads=${['Where', 'Entry', 'When', 'State']} numbers=${[1]} rows=${audit.anchors}
      empty="The head is noted nowhere else: whoever can write the log could rewrite all of it. Name a key and places as checkpoints in config/gateway.yaml."
      cells=${(/** @type {AuditView['anchors'][number]} */ each) => [each.where, number(each.seq), html`<${When} time=${each.at} both />`, each.error === null ? html`<${Mark} kind="good">delivered<//>` : html`<${Mark} kind="bad">failed<//> ${each.error}`]} />
    <h2>Latest changes</h2>
    <${Table} caption="Changes of this instance since its start, newest first" wide=${[3]} heads=${['Time', 'Event', 'Who', 'Details']} rows=${audit.changes} empty="Nothing has been changed since the start."
      cells=${(/** @type {AuditView['changes'][number]} */ each) => [
        html`<${When} time=${each.time} />`,
        each.event,
        each.actor,
        Object.entries(each.details)
          .filter(([, value]) => value !== null)
          .map(
            ([name, value]) =>
              html`<div><span class="muted">${name.replaceAll('_', ' ')}:</span> ${textOf(value)}</div>`,
          ),
      ]} />`
}

/** Asked for by its button: all files are read. @param {{ target: string }} props */
function Check({ target }) {
  const [asked, setAsked] = useState(0)
  const found = useData(asked === 0 ? null : '/api/audit/check')
  const data = /** @type {AuditCheckView | null} */ (found.data)
  const again = () => (asked === 0 ? setAsked(1) : found.again())
  return html`<h2>Whether the chain is whole</h2>
    <p><button type="button" onClick=${again}>Check the chain</button></p>
    ${asked > 0 && html`<${State} of=${found} what="the check of the chain">${data !== null && html`<${Verdict} check=${data} />`}<//>`}
    <p class="muted">The same is verified where the files are, also against checkpoints that somebody else keeps: <code>devin-gateway audit verify ${target}*</code></p>`
}

/** @param {{ check: AuditCheckView }} props */
function Verdict({ check: { at, ok, entries, head, files, torn_lines: torn, problems } }) {
  const said = ok
    ? `The chain is unbroken: ${counted(entries, 'entry', 'entries')} in ${counted(files.length, 'file')}, and entry ${number(head.seq)} is the head that the gateway knows.`
    : 'The chain is broken. Somebody has changed or removed entries, or files are missing.'
  return html`<p class=${`notice ${ok ? 'good' : 'bad'}`} role="status">${said} Checked at ${clock(at)}.${torn > 0 && ` ${counted(torn, 'line')} cut off by a crash: the chain says so.`}</p>
    ${!ok && html`<${Table} caption="What is wrong" wide=${[2]} heads=${['File', 'Line', 'Problem']} numbers=${[1]} rows=${problems} cells=${(/** @type {AuditCheckView['problems'][number]} */ each) => [each.file, each.line === 0 ? '' : number(each.line), each.problem]} />`}`
}

/** @param {unknown} value @returns {string} */
function textOf(value) {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(textOf).join(', ')
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? clock(value) : value
}

/** @param {{ places?: readonly { place: string, delivered: boolean, error: string | null }[] }} done */
function checkpointText({ places = [] }) {
  const said = places.map(({ place, delivered, error }) => `${place}: ${delivered ? 'delivered' : (error ?? 'waits')}`)
  return `The head of the log was signed. ${said.join('. ')}`
}
