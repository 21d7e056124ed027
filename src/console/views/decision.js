// One decision: as it was recorded, how it would be decided now, and what would allow it.

import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { useData } from '../api.js'
import { linkTo } from '../address.js'
import { clock, counted, milliseconds } from '../format.js'
import { Facts, Head, State, TeamLink, Texts } from '../parts.js'
import { Outcome } from './decisions.js'

/** @typedef {import('../../admin/console/decision-view.ts').DecisionDetailView} DecisionDetailView */

/** @param {{ id: string }} props */
export function Decision({ id }) {
  const found = useData(`/api/decisions/${encodeURIComponent(id)}`)
  const data = /** @type {DecisionDetailView | null} */ (found.data)
  return html`<${Head} title="Decision"><p><code>${id}</code></p><//>
    <p><a href=${linkTo(['decisions'])}>All decisions</a></p>
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
      <p>${caller.subject ?? 'A caller without a valid token'} asked for ${what}${where}. ${allowed ? 'The policies allowed it' : 'It was refused'}: ${decided.reason}.</p>
      ${decided.detail !== null && html`<p>${decided.detail}</p>`}
      ${!allowed && decided.nearest !== null && !(decided.detail ?? '').includes(decided.nearest) && html`<p>The grant that comes nearest is ${decided.nearest}.</p>`}
    </div>
    <${Facts} pairs=${[
      ['Time', clock(decision.time)],
      ['Outcome', html`<${Outcome} of=${decision} />`],
      [
        'Ended at',
        `${decided.stage}${decided.sent ? ', after it was sent to Devin' : ', before anything was sent to Devin'}`,
      ],
      ['Problem', decision.problem],
      ['Team', html`<${TeamLink} id=${decision.team} />`],
      ['Grant', decided.grant],
      ['Owner', decided.owner],
      [
        'Key',
        decision.key === null ? null : html`<a href=${linkTo(['keys'], { key: decision.key })}>${decision.key}</a>`,
      ],
      ['Limit', decision.limit],
      ['Cache', decision.cache],
      [
        'Took',
        `${milliseconds(decision.duration_ms)}; Devin ${milliseconds(decision.upstream_ms)}; waited ${milliseconds(decision.waited_ms)}`,
      ],
      ['Guardrails', html`<${Texts} texts=${decided.guardrails} />`],
      ['Organizations', html`<${Texts} texts=${decided.organizations} />`],
      ['Policy revision', html`<code>${decided.policy_revision ?? '–'}</code>`],
      ['Request', html`<code>${decision.request_id}</code>`],
    ]} />
    <h2>The caller</h2>
    <${Facts} pairs=${[
      [
        'Subject',
        caller.subject === null
          ? null
          : html`<a href=${linkTo(['decisions'], { subject: caller.subject })}>${caller.subject}</a>`,
      ],
      [
        'Email',
        caller.email === null ? null : `${caller.email} (${caller.email_verified ? 'verified' : 'not verified'})`,
      ],
      ['App', caller.app],
      ['Actor', caller.actor],
      ['Issuer', caller.issuer],
      ['Groups', html`<${Texts} texts=${caller.groups} />`],
      ['Teams', html`<${Texts} texts=${caller.teams} none="member of no team" />`],
    ]} />
    <h2>Step by step, under the policies of now</h2>
    <p>${explainedText(explained)}</p>
    ${explained.differences.length > 0 && html`<${Texts} texts=${explained.differences} />`}
    <${Steps} steps=${steps} />
    ${explained.missing.length > 0 && html`<p class="muted">The record does not hold: ${explained.missing.join(', ')}.</p>`}
    ${detail.what_would_allow !== null && html`<${WhatWouldAllow} path=${detail.what_would_allow} />`}
    <p class="muted">${detail.searched.note}</p>`
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
  return html`<ol class="steps">${steps.map(({ stage, ok, text }) => html`<li><span class=${`mark ${ok ? 'good' : 'bad'}`}>${ok ? 'passed' : 'stopped'}</span> <b>${stage}</b> <span>${text}</span></li>`)}</ol>`
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
    ${!asked && html`<p>Policy changes are tried before they are shown: they compile, tests and invariants pass, and nothing else is gained.</p><button type="button" class="main" onClick=${() => setAsked(true)}>Find changes</button>`}
    ${
      asked &&
      html`<${State} of=${found} what="changes, each of which is tried">
      ${data !== null && data.allowed_now && html`<p class="notice good">The policies in force allow the request already.</p>`}
      ${data !== null && data.why_none !== null && html`<p class="notice warn">${data.why_none}</p>`}
      ${data?.proposals.map(
        (each) => html`<article class="card">
          <h3>${each.what}</h3>
          <p>${each.file}, team ${each.team}. Ask ${each.contact ?? each.owner ?? 'the owner of the policies'}. ${counted(each.tests_passed, 'test')} passed, ${counted(each.invariants, 'invariant')} hold.</p>
          <p>What is gained:</p><${Texts} texts=${each.gains} />
          <pre tabindex="0" aria-label="Patch">${each.patch}</pre>
        </article>`,
      )}
      ${data !== null && data.rejected.length > 0 && html`<details><summary>${counted(data.rejected.length, 'change')} tried and rejected</summary><ul>${data.rejected.map(({ what, why }) => html`<li>${what}: ${why}</li>`)}</ul></details>`}
    <//>`
    }`
}
