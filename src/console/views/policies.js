// The policies in force, how they came into force, what ends soon, and who may do what.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { call, useData } from '../api.js'
import { fieldsOf, go, linkTo } from '../address.js'
import { counted, number, percent } from '../format.js'
import { Change, Facts, Head, Mark, Source, State, Table, Texts, When } from '../parts.js'
import { useMay } from '../session.js'

/** @typedef {import('../../admin/console/policy-view.ts').PolicyStateView} PolicyStateView */
/** @typedef {import('../../admin/console/policy-view.ts').PolicyReloadView} PolicyReloadView */
/** @typedef {PolicyStateView & { revision: string, files: readonly { name: string }[], shadow: Shadow | null }} PoliciesInForce */

/** @param {{ query: URLSearchParams }} props */
export function Policies({ query }) {
  const found = useData('/api/policies?files=names', 5000)
  const data = /** @type {PoliciesInForce | null} */ (found.data)
  const may = useMay('operator')
  /** @param {string} reason */
  const reload = async (reason) => {
    const { result, certificate, diagnostics = [] } = await call('POST', '/api/reload', undefined, { reason })
    /** @type {Record<string, string>} */
    const words = {
      replaced: 'The policies were replaced.',
      unchanged: 'The policies are unchanged.',
      refused: 'The policies were refused; the ones before stay in force.',
      held: 'The policies are held back; the ones before stay in force.',
      deferred: 'The policies are being written; they are read again in a moment.',
      divided: 'The workers do not agree.',
    }
    const said = certificate === 'kept' ? ['The certificate could not be read; the one before is kept.'] : []
    return [words[result] ?? result, ...said, ...diagnostics].join(' ')
  }
  return html`<${Head} title="Policies">${may && html`<${Change} label="Reload" title="Reload policies, secrets and certificate" text="A set that does not compile, or whose tests fail, is refused, and the one before stays in force." run=${reload} after=${found.again} />`}<//>
    <${State} of=${found} what="the policies">${data !== null && html`<${InForce} policies=${data} />`}<//>
    <${MatrixPart} query=${query} />
    ${data !== null && html`<${ShadowPart} shadow=${data.shadow} /><${Ending} policies=${data} />`}`
}

/** @param {{ policies: PoliciesInForce }} props */
function InForce({ policies }) {
  const { refusal, warnings, history, files } = policies
  return html`
    ${refusal !== null && html`<div class="notice bad" role="alert"><p><strong>${refusal.result === 'held' ? 'The latest files are held back' : 'The latest files were refused'}, and the policies before them stay in force</strong> (<${When} time=${refusal.at} both />).</p><${Texts} texts=${refusal.diagnostics} /></div>`}
    <${Facts} pairs=${[
      ['Revision', html`<code>${policies.revision}</code>`],
      ['In force since', html`<${When} time=${policies.loaded_at} both />`],
      ['Directory', html`<code>${policies.directory}</code>`],
      ['Teams', html`<a href=${linkTo(['teams'])}>${policies.teams}</a>`],
      ['Keys', html`<a href=${linkTo(['keys'])}>${policies.keys}</a>`],
      [
        'Files',
        html`<details><summary>${counted(files.length, 'file')}</summary><${Texts} texts=${files.map(({ name }) => name)} /></details>`,
      ],
    ]} />
    ${warnings.length > 0 && html`<h2>Warnings</h2><${Texts} texts=${warnings} />`}
    <h2>Reload history</h2>
    <${Table} caption="Reloads since the start, newest first" wide=${[4]} heads=${['Time', 'Result', 'By', 'Revision after it', 'Diagnostics']} rows=${history} empty="The policies have not been read again since the start."
      cells=${(/** @type {PolicyReloadView} */ each) => [
        html`<${When} time=${each.at} />`,
        html`<${Mark} kind=${each.result === 'refused' ? 'bad' : each.result === 'held' || each.result === 'deferred' ? 'warn' : 'good'}>${each.result}<//>`,
        each.actor,
        html`<code>${each.revision.slice(0, 12)}</code>`,
        each.diagnostics.length === 0 ? null : html`<${Texts} texts=${each.diagnostics} />`,
      ]} />
    ${history.some(({ result }) => result === 'replaced') && html`<${LastChange} key=${policies.revision} />`}`
}

/** @typedef {import('../../admin/console/analysis-view.ts').PolicyChangesView} PolicyChangesView */

/** Asked for by its button: both sets are compared as a whole. */
function LastChange() {
  const [isAsked, setIsAsked] = useState(false)
  const found = useData(isAsked ? '/api/policies/changes' : null)
  const data = /** @type {PolicyChangesView | null} */ (found.data)
  return html`<h2>What the last change did</h2>
    ${!isAsked && html`<p><button type="button" onClick=${() => setIsAsked(true)}>Show what it changed</button></p>`}
    ${
      isAsked &&
      html`<${State} of=${found} what="the changes: both sets are compared">${
        data !== null &&
        html`<p>From revision <code>${data.from.slice(0, 12)}</code> to <code>${data.to.slice(0, 12)}</code>: ${data.files.length === 0 ? 'the files are the same' : data.files.map(({ name, change }) => `${name} ${change}`).join(', ')}.</p>
        <${Table} caption="Rights, keys, guardrails, limits and filters that are other ones" quiet wide=${[1]} heads=${['Change', 'What', 'Before and after']} rows=${data.changes} empty="Nobody gained or lost a right, and no key, guardrail, limit or filter is another one."
          cells=${(/** @type {PolicyChangesView['changes'][number]} */ each) => [html`<${Mark} kind=${each.change === 'gained' ? 'good' : each.change === 'lost' ? 'bad' : 'plain'}>${each.change}<//>`, each.what.replaceAll('org-any-other', 'any other organization'), html`<${Texts} texts=${each.details} />`]} />
        ${data.notes.length > 0 && html`<${Texts} texts=${data.notes} />`}
        ${data.undecided > 0 && html`<p class="notice warn">${counted(data.undecided, 'cell')} could not be decided.</p>`}`
      }<//>`
    }`
}

/** @param {{ policies: PoliciesInForce }} props */
function Ending({ policies: { ends_soon: ends, invariants } }) {
  return html`<h2>What ends soon</h2>
    <${Table} caption="Rights and keys that end within 30 days" wide=${[0]} heads=${['What', 'Ends', 'Owner', 'Where']} rows=${ends} empty="Nothing ends within 30 days."
      cells=${(/** @type {PolicyStateView['ends_soon'][number]} */ each) => [each.what, html`<${When} time=${each.ends_at} both />`, each.owner, html`<${Source} of=${each.source} />`]} />
    <h2>Invariants</h2>
    <${Table} caption="All of them hold: a set that breaks one is refused" heads=${['Invariant', 'Kind', 'Where']} rows=${invariants} empty="There is no invariant. docs/invariants.md says what they are for."
      cells=${(/** @type {PolicyStateView['invariants'][number]} */ each) => [each.id, each.kind, html`<${Source} of=${each.source} />`]} />`
}

/** @typedef {{ team: string, callers: string, operation: string, organizations: readonly (string | null)[], effect: 'allow' | 'deny', reason: string, grant: string | null, key: string | null, conditions: string | null }} MatrixRow */

const filterNames = /** @type {const} */ (['team', 'operation', 'organization'])
const filterLabels = { team: 'Team', operation: 'Operation', organization: 'Organization' }

/** Asked for by its form: it is computed from the whole policy set. @param {{ query: URLSearchParams }} props */
function MatrixPart({ query }) {
  const filters = Object.fromEntries([...filterNames, 'effect'].map((name) => [name, query.get(name) ?? '']))
  const isAsked = Object.values(filters).some((value) => value !== '')
  const asked = new URLSearchParams(Object.entries({ ...filters, limit: '200' }).filter(([, value]) => value !== ''))
  const found = useData(isAsked ? `/api/matrix?${asked}` : null)
  const data = /** @type {{ found: number, undecided: number, rows: readonly MatrixRow[] } | null} */ (found.data)
  /** @param {any} event */
  const search = (event) => {
    event.preventDefault()
    go(linkTo(['policies'], fieldsOf(event.target)))
  }
  return html`<h2>Who may do what</h2>
    <form class="filters" role="search" aria-label="Who may do what" onSubmit=${search} key=${query.toString()}>
      ${filterNames.map((name, index) => html`<label>${filterLabels[name]}<input name=${name} id=${index === 0 ? 'search' : undefined} defaultValue=${filters[name]} autocomplete="off" /></label>`)}
      <label>Effect<select name="effect">${['', 'allow', 'deny'].map((each) => html`<option value=${each} selected=${each === filters['effect']}>${each === '' ? 'any' : each}</option>`)}</select></label>
      <button type="submit" class="main">Show</button>
    </form>
    ${!isAsked && html`<p class="empty">Name a team, an operation, an organization or an effect.</p>`}
    ${
      isAsked &&
      html`<${State} of=${found} what="the matrix, which is computed once for a revision">
      <${Table} caption=${data === null ? 'Matrix' : `${counted(data.found, 'row')} fit; ${number(data.rows.length)} are shown`} wide=${[1, 2]} heads=${['Team', 'Callers', 'Operation', 'Organizations', 'Effect', 'Grant or reason', 'Key', 'Conditions']} dense rows=${data?.rows ?? []} empty="No row fits these filters."
        cells=${(/** @type {MatrixRow} */ each) => [
          each.team,
          each.callers,
          each.operation,
          each.organizations.map((one) => one ?? 'names none').join(', '),
          html`<${Mark} kind=${each.effect === 'allow' ? 'good' : 'bad'}>${each.effect}<//>`,
          each.grant ?? each.reason,
          each.key,
          each.conditions,
        ]} />
    <//>`
    }`
}

/** @typedef {{ directory: string, revision: string | null, decided: number, same: number, different: number, last_refusal: { diagnostics: readonly string[] } | null, disagreements: readonly { change: string, team: string | null, operation: string, count: number, last_at: string }[] }} Shadow */

/** @param {{ shadow: Shadow | null }} props */
function ShadowPart({ shadow: data }) {
  if (data === null)
    return html`<h2>Shadow set</h2><p class="empty">There is no shadow set. Name its directory as shadow_policies in config/gateway.yaml to try policies beside those in force.</p>`
  return html`<h2>Shadow set</h2>
    ${data.last_refusal !== null && html`<div class="notice bad"><p>The latest files were refused.</p><${Texts} texts=${data.last_refusal.diagnostics} /></div>`}
    <p><code>${data.directory}</code> ${data.decided === 0 ? 'has decided no request yet.' : `decides ${percent((100 * data.different) / data.decided)} of ${counted(data.decided, 'request')} otherwise.`}</p>
    <${Table} caption="What it decides otherwise" heads=${['Change', 'Team', 'Operation', 'Count', 'Last']} numbers=${[3]} rows=${data.disagreements ?? []} empty="The shadow set has decided nothing otherwise."
      cells=${(/** @type {Shadow['disagreements'][number]} */ each) => [each.change, each.team, each.operation, number(each.count), html`<${When} time=${each.last_at} />`]} />`
}
