// The cache, and what drops stored answers.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { call, useData } from '../api.js'
import { bytes, counted, number, percent } from '../format.js'
import { Figure, Head, Change, State, Table } from '../parts.js'
import { useLacks, useMay } from '../session.js'

/** @typedef {import('../../admin/console/state-views.ts').CacheStateView} CacheStateView */

export function Cache() {
  const found = useData('/api/cache', 5000)
  const data = /** @type {CacheStateView | null} */ (found.data)
  const may = useMay('operator')
  const lacks = useLacks('operator')
  return html`<${Head} title="Cache" />
    <${State} of=${found} what="the cache">${data !== null && html`<${Detail} cache=${data} />`}<//>
    ${lacks && html`<p class="muted">To drop stored answers needs the role operator.</p>`}
    ${may && html`<${Purge} after=${found.again} />`}`
}

/** @param {{ cache: CacheStateView }} props */
function Detail({ cache }) {
  const { group } = cache
  return html`
    ${group !== null && group.reason !== null && html`<p class="notice warn">${group.reason}</p>`}
    <dl class="figures">
      <${Figure} name="Cache hits" value=${percent(cache.hit_percent)} note="of the reads that may be cached" />
      <${Figure} name="Memory" value=${bytes(cache.bytes)} note=${`of ${bytes(cache.max_bytes)}`} />
      <${Figure} name="Answers stored" value=${number(cache.entries)} />
      <${Figure} name="Other instances" value=${group === null ? 'none' : number(group.members)} note=${group === null ? 'there is no shared store' : `${group.standing}; ${group.missing} missing`} />
    </dl>
    <${Table} caption="By operation, since the start" wide=${[0]} heads=${['Operation', 'Hits', 'Stale', 'Validated', 'Shared fetches', 'Misses', 'Not cached', 'Evicted', 'Size']} numbers=${[1, 2, 3, 4, 5, 6, 7, 8]}
      rows=${cache.operations} empty="Nothing has asked the cache yet."
      cells=${(/** @type {CacheStateView['operations'][number]} */ each) => [each.operation, number(each.hits), number(each.stale), number(each.validated), number(each.collapsed), number(each.misses), number(each.bypassed), number(each.evictions), bytes(each.bytes)]} />`
}

/** @param {{ after: () => void }} props */
function Purge({ after }) {
  const [kind, setKind] = useState('organization')
  const [id, setId] = useState('')
  /** @param {string} reason */
  const run = async (reason) => {
    if (id.trim() === '') throw new Error('Name an organization or a resource first.')
    const done = await call('POST', `/api/purge?${new URLSearchParams({ [kind]: id.trim() })}`, undefined, { reason })
    const reach = done.everywhere
      ? counted(done.instances, 'instance')
      : 'this instance alone, since the shared store cannot be reached'
    const silent =
      done.silent > 0 ? ` ${counted(done.silent, 'instance')} did not answer and cannot serve what was stored.` : ''
    return `${counted(done.dropped, 'stored answer')} dropped on ${reach}.${silent}`
  }
  return html`<h2>Drop stored answers</h2>
    <div class="row card"><form onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <label>About<select value=${kind} onChange=${(/** @type {any} */ event) => setKind(event.target.value)}><option value="organization">an organization</option><option value="resource">a resource</option></select></label>
      <label>Id<input id="search" value=${id} onInput=${(/** @type {any} */ event) => setId(event.target.value)} autocomplete="off" /></label>
    </form>
    <${Change} label="Drop" title="Drop stored answers" text=${`All instances drop their stored answers about ${id.trim() === '' ? '(nothing named yet)' : id.trim()}. The next reads ask Devin.`} run=${run} after=${after} /></div>`
}
