// One decision: as it was recorded, how it would be decided now, and what would allow it.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { useData } from '../api.js'
import { linkTo } from '../address.js'
import { counted, milliseconds } from '../format.js'
import { Facts, Head, listed, Mark, State, TeamLink, Texts, When } from '../parts.js'
import { Outcome } from './decisions.js'

/** @typedef {import('../../admin/console/decision-view.ts').DecisionDetailView} DecisionDetailView */

/** @param {{ id: string }} props */
export function Decision({ id }) {
  const found = useData(`/api/decisions/${encodeURIComponent(id)}`)
  const data = /** @type {DecisionDetailView | null} */ (found.data)
  return html`<${Head} title="Decision"><p><code>${id}</code> · <a href=${linkTo(['decisions'])}>All decisions</a></p><//>
    <${State} of=${found} what="the decision">${data !== null && html`<${Detail} detail=${data} />`}<//>`
}

/** @param {{ detail: DecisionDetailView }} props */
function Detail({ detail }) {
  const { decision, caller, decided, steps, explained } = detail
  const what = decision.operation ?? decision.path ?? 'a request without an operation'
  const where = decision.organization === null ? '' : ` in ${decision.organization}`
  const allowed = decided.effect === 'allow'
  return html`
    <div class=${`notice summary ${allowed ? 'good' : 'bad'}`}>
      <p><strong>${caller.subject ?? 'A caller without a valid token'} asked for ${what}${where}. ${allowed ? 'The policies allowed it' : 'It was refused'}: ${decided.reason}.</strong></p>
      ${decided.detail !== null && html`<p>${decided.detail}</p>`}
      ${!allowed && decided.nearest !== null && !(decided.detail ?? '').includes(decided.nearest) && html`<p>Nearest: ${decided.nearest}.</p>`}
    </div>
    ${detail.what_would_allow !== null && html`<${WhatWouldAllow} path=${detail.what_would_allow} />`}
    <h2>Step by step, under the policies of now</h2>
    <p>${explainedText(explained)}</p>
    ${explained.differences.length > 0 && html`<${Texts} texts=${explained.differences} />`}
    <${Steps} steps=${steps} />
    ${explained.missing.length > 0 && html`<p class="muted">The record does not hold: ${explained.missing.join(', ')}.</p>`}
    <h2>The request</h2>
    <${Facts} pairs=${[
      ['Time', html`<${When} time=${decision.time} both />`],
      ['Outcome', html`<${Outcome} of=${decision} />`],
      [
        'Ended at',
        `${decided.stage}, ${decided.sent ? 'after it was sent to Devin' : 'before anything was sent to Devin'}`,
      ],
      ['Problem', decision.problem],
      ['Took', tookText(decision)],
      ['Cache', decision.cache],
      ['Limit', decision.limit],
      ['Team', decision.team === null ? null : html`<${TeamLink} id=${decision.team} />`],
      ['Grant', decided.grant],
      ['Owner', decided.owner],
      [
        'Key',
        decision.key === null ? null : html`<a href=${linkTo(['keys'], { key: decision.key })}>${decision.key}</a>`,
      ],
      ['Organizations', listed(decided.organizations)],
      ['Guardrails', listed(decided.guardrails)],
      ['Policy revision', decided.policy_revision === null ? null : html`<code>${decided.policy_revision}</code>`],
      ['Request id', decision.request_id === decision.decision_id ? null : html`<code>${decision.request_id}</code>`],
    ]} />
    <h2>The caller</h2>
    ${caller.subject !== null && html`<p><a href=${askLink(detail)}>Ask what this caller may do</a></p>`}
    <${Facts} pairs=${[
      [
        'Subject',
        caller.subject === null
          ? 'unknown: no valid token'
          : html`<a href=${linkTo(['decisions'], { subject: caller.subject })}>${caller.subject}</a>`,
      ],
      [
        'Email',
        caller.email === null ? null : `${caller.email} (${caller.email_verified ? 'verified' : 'not verified'})`,
      ],
      ['App', caller.app],
      ['Actor', caller.actor],
      ['Issuer', caller.issuer],
      ['Groups', listed(caller.groups)],
      ['Teams', caller.subject === null ? null : html`<${Texts} texts=${caller.teams} none="member of no team" />`],
    ]} />
    <p class="muted">${detail.searched.note}</p>`
}

/** The form "Explain" with this request, as this caller. @param {DecisionDetailView} detail */
function askLink({ explained: { method, path }, caller }) {
  const { subject: sub, email, app, actor, issuer } = caller
  return linkTo(['explain'], { method, path, sub, email, app, groups: caller.groups.join(','), actor, issuer })
}

/** @param {DecisionDetailView['decision']} decision */
function tookText({ duration_ms: whole, upstream_ms: devin, waited_ms: waited }) {
  if (whole === null) return null
  const parts = [
    devin === null ? null : `Devin ${milliseconds(devin)}`,
    waited === null ? null : `in the queue ${milliseconds(waited)}`,
  ].filter((each) => each !== null)
  return `${milliseconds(whole)}${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`
}

/** @param {DecisionDetailView['explained']} explained */
function explainedText({ again, same, why_not }) {
  if (!again) return why_not ?? 'The request cannot be decided again.'
  if (same === null) return 'The request was decided again; whether the result is the same cannot be said.'
  return same ? 'It would be decided the same way now.' : 'It would be decided otherwise now:'
}

/** @param {{ steps: readonly { readonly stage: string, readonly ok: boolean, readonly text: string }[] }} props */
export function Steps({ steps }) {
  if (steps.length === 0) return html`<p class="empty">There are no steps to show.</p>`
  const stop = steps.findIndex(({ ok }) => !ok)
  // What comes after the stop is said for the reader, and was not passed.
  return html`<ol class="steps">${steps.map(
    ({ stage, ok, text }, index) =>
      html`<li><${Mark} kind=${!ok ? 'bad' : stop >= 0 && index > stop ? 'plain' : 'good'}>${!ok ? 'stopped' : stop >= 0 && index > stop ? 'note' : 'passed'}<//> <b>${stage}</b> <span>${text}</span></li>`,
  )}</ol>`
}

/**
 * @typedef {{ what: string, team: string, owner: string | null, contact: string | null, file: string, patch: string, gains: readonly string[], tests_passed: number, invariants: number }} Proposal
 * @typedef {{ allowed_now: boolean, proposals: readonly Proposal[], rejected: readonly { what: string, why: string }[], why_none: string | null }} Allowing
 */

/** Asked for by a button: it is computed from the whole policy set. @param {{ path: string }} props */
function WhatWouldAllow({ path }) {
  const [asked, setAsked] = useState(false)
  const found = useData(asked ? path : null)
  const data = /** @type {Allowing | null} */ (found.data)
  return html`<h2>What would allow this</h2>
    ${!asked && html`<div class="card row"><p>Changes of the policies are tried before they are shown: they compile, tests and invariants pass, and nothing else is gained.</p><button type="button" class="main" onClick=${() => setAsked(true)}>Find changes</button></div>`}
    ${
      asked &&
      html`<${State} of=${found} what="changes, each of which is tried">
      ${data !== null && data.allowed_now && html`<p class="notice good">The policies in force allow the request already.</p>`}
      ${data !== null && data.why_none !== null && html`<p class="notice warn">${data.why_none}</p>`}
      ${data?.proposals.map(
        (each) => html`<article class="card">
          <h3>${capital(each.what)}</h3>
          <p>${counted(each.tests_passed, 'test')} passed and ${counted(each.invariants, 'invariant holds', 'invariants hold')} with it. Give it to ${each.contact ?? each.owner ?? 'the owner of the policies'}.</p>
          <pre tabindex="0" aria-label="Patch">${each.patch}</pre>
          <p>All that is gained:</p><${Texts} texts=${each.gains} />
        </article>`,
      )}
      ${data !== null && data.rejected.length > 0 && html`<details><summary>${counted(data.rejected.length, 'change')} tried and rejected</summary><ul>${data.rejected.map(({ what, why }) => html`<li>${what}: ${why}</li>`)}</ul></details>`}
    <//>`
    }`
}

/** @param {string} text */
function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
