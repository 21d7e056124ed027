// The blocks in force, and the forms that block and unblock.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { call, useData } from '../api.js'
import { counted } from '../format.js'
import { Head, Change, State, Table, When } from '../parts.js'
import { useLacks, useMay } from '../session.js'

const kinds = /** @type {const} */ (['subject', 'app', 'team', 'issuer', 'jti', 'key'])

/** @typedef {{ kind: string, value: string, reason: string, note: string | null, by: string, since: string, until: string | null }} BlockInForce */

/** @param {{ query: URLSearchParams }} props */
export function Blocks({ query }) {
  const found = useData('/api/blocks', 5000)
  const may = useMay('operator')
  const lacks = useLacks('operator')
  // Kept here: the button goes with the block.
  const [ended, setEnded] = useState('')
  /** @param {BlockInForce} block @param {string} reason */
  const end = async ({ kind, value }, reason) => {
    const said = reachText(
      await call('DELETE', '/api/blocks', { kind, value }, { reason }),
      `The block of ${kind} ${value} was ended`,
    )
    setEnded(said)
    return said
  }
  return html`<${Head} title="Blocks"><p>Callers, teams and keys that operators have stopped.</p><//>
    ${may && html`<${Form} kind=${query.get('kind') ?? 'subject'} value=${query.get('value') ?? ''} after=${found.again} />`}
    ${lacks && html`<p class="muted">To block and unblock needs the role operator.</p>`}
    ${ended !== '' && html`<p class="notice good" role="status">${ended}</p>`}
    <${State} of=${found} what="the blocks">
      <${Table} caption="Blocks in force" wide=${[1, 2]} heads=${['Kind', 'Value', 'Reason', 'By', 'Since', 'Until', 'Change']} rows=${/** @type {readonly BlockInForce[]} */ (found.data ?? [])} empty="Nobody is blocked." keyOf=${(/** @type {BlockInForce} */ each) => `${each.kind} ${each.value}`}
        cells=${(/** @type {BlockInForce} */ each) => [
          each.kind,
          each.value,
          html`${each.reason}${each.note !== null && html` <span class="muted">${each.note}</span>`}`,
          each.by,
          html`<${When} time=${each.since} both />`,
          each.until === null ? 'no end' : html`<${When} time=${each.until} both />`,
          may
            ? html`<${Change} label="Unblock" title=${`Unblock ${each.kind} ${each.value}`} text="Its requests are decided by the policies again." run=${(/** @type {string} */ reason) => end(each, reason)} after=${found.again} />`
            : null,
        ]} />
    <//>`
}

/** @param {{ kind: string, value: string, after: () => void }} props */
function Form({ kind: firstKind, value: firstValue, after }) {
  const [kind, setKind] = useState(firstKind)
  const [value, setValue] = useState(firstValue)
  const [length, setLength] = useState('')
  return html`<div class="row card"><form onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <label>What<select value=${kind} onChange=${(/** @type {any} */ event) => setKind(event.target.value)}>${kinds.map((each) => html`<option value=${each} selected=${each === kind}>${each}</option>`)}</select></label>
    <label>Value<input id="search" value=${value} onInput=${(/** @type {any} */ event) => setValue(event.target.value)} autocomplete="off" /></label>
    <label>For how long<input placeholder="1h, 2d; empty: no end" value=${length} onInput=${(/** @type {any} */ event) => setLength(event.target.value)} autocomplete="off" /></label>
  </form>
  <${Block} kind=${kind} value=${value.trim()} length=${length.trim()} after=${after} /></div>`
}

/** A button that blocks, where the role allows it. @param {{ kind: string, value: string, length?: string, label?: string, after?: () => void }} props */
export function Block({ kind, value, length = '', label = 'Block', after }) {
  const may = useMay('operator')
  if (!may) return null
  /** @param {string} reason */
  const run = async (reason) => {
    if (value === '') throw new Error('Name what to block first.')
    const done = await call(
      'POST',
      '/api/blocks',
      { kind, value, reason, ...(length === '' ? {} : { for: length }) },
      { reason },
    )
    return reachText(done, `${kind} ${value} is blocked`)
  }
  return html`<${Change} label=${label} danger title=${`Block ${kind} ${value}`} text="Its requests are refused from now on, those under way too, on all instances." run=${run} after=${after} />`
}

/** @param {{ instances: number, unconfirmed: number, everywhere: boolean, notes?: readonly string[] }} done @param {string} what */
function reachText({ instances, unconfirmed, everywhere, notes = [] }, what) {
  const reach = everywhere
    ? `on ${counted(instances, 'instance')}`
    : `on this instance; ${counted(unconfirmed, 'instance')} did not confirm it`
  return [`${what} ${reach}.`, ...notes].join(' ')
}
