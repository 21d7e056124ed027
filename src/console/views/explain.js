// A form over the code of the command `explain`. The address holds what was asked, so that an answer is a link.

import { html } from 'htm/preact'
import { useEffect, useState } from 'preact/hooks'
import { call } from '../api.js'
import { fieldsOf, go, linkTo } from '../address.js'
import { Facts, Head, listed, State, TeamLink } from '../parts.js'
import { Steps } from './decision.js'

/** As in docs/admin-api.yaml. */
/** @typedef {{ effect: 'allow' | 'deny', reason: string, detail: string | null, method: string, path: string, operation: string | null, permission: string | null, team: string | null, grant: string | null, owner: string | null, contact: string | null, key: string | null, nearest: string | null, guardrails: readonly string[], limits: readonly string[], steps: readonly { stage: string, ok: boolean, text: string }[] }} Explanation */

const callerFields = [
  ['team', 'Team (a caller of it)'],
  ['sub', 'Subject'],
  ['email', 'Email'],
  ['app', 'App'],
  ['groups', 'Groups, separated by commas'],
  ['actor', 'Actor'],
  ['issuer', 'Issuer'],
  ['devin_user', 'Id of the Devin user'],
]
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** What is asked. @param {URLSearchParams} query */
function questionOf(query) {
  const said = callerFields.flatMap(([name = '']) => {
    const value = query.get(name) ?? ''
    return value === ''
      ? []
      : [
          [
            name,
            name === 'groups'
              ? value
                  .split(',')
                  .map((each) => each.trim())
                  .filter((each) => each !== '')
              : value,
          ],
        ]
  })
  const body = query.get('body') ?? ''
  const claims = query.get('claims') ?? ''
  return {
    method: query.get('method') ?? 'GET',
    path: query.get('path') ?? '',
    as: { ...Object.fromEntries(said), ...(claims === '' ? {} : { claims: jsonOf(claims, claimsAdvice) }) },
    ...(body === '' ? {} : { body: jsonOf(body, bodyAdvice) }),
  }
}

const bodyAdvice = 'The body is not JSON. Write it like {"prompt": "Fix the test"}.'
const claimsAdvice = 'The claims are not JSON. Write them like {"department": "finance"}.'

/** @param {string} text @param {string} advice */
function jsonOf(text, advice) {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(advice)
  }
}

/** @param {{ query: URLSearchParams }} props */
export function Explain({ query }) {
  const text = query.toString()
  const isAsked = (query.get('path') ?? '') !== ''
  const [state, setState] = useState(
    /** @type {{ text: string, data: Explanation | null, error: any }} */ ({ text: '', data: null, error: null }),
  )
  useEffect(() => {
    if (!isAsked) return undefined
    let ended = false
    const ask = async () => call('POST', '/api/explain', questionOf(new URLSearchParams(text)))
    ask().then(
      (data) => !ended && setState({ text, data, error: null }),
      (error) =>
        !ended && setState({ text, data: null, error: { message: error.message, signIn: error.signIn ?? null } }),
    )
    return () => {
      ended = true
    }
  }, [text, isAsked])
  /** @param {any} event */
  const ask = (event) => {
    event.preventDefault()
    go(linkTo(['explain'], fieldsOf(event.target)))
  }
  const shown = state.text === text ? state : { data: null, error: null }
  return html`<${Head} title="Explain"><p>How a request would be decided now. Nothing is sent, changed or counted.</p><//>
    <form class="ask" onSubmit=${ask} key=${text}>
      <label class="short">Method<select name="method">${methods.map((each) => html`<option selected=${each === (query.get('method') ?? 'GET')}>${each}</option>`)}</select></label>
      <label class="long">Path<input name="path" id="search" required defaultValue=${query.get('path') ?? ''} placeholder="/v3/organizations/org-payments/sessions" autocomplete="off" /></label>
      ${callerFields.map(([name = '', label]) => html`<label>${label}<input name=${name} defaultValue=${query.get(name) ?? ''} autocomplete="off" /></label>`)}
      <label class="wide">Other claims of the token, as JSON<input name="claims" defaultValue=${query.get('claims') ?? ''} autocomplete="off" /></label>
      <label class="wide">Body, as JSON<textarea name="body" defaultValue=${query.get('body') ?? ''}></textarea></label>
      <button type="submit" class="main">Explain</button>
    </form>
    ${!isAsked && html`<p class="empty">Say a path, and who asks: a team, or what the token would say.</p>`}
    ${isAsked && html`<${State} of=${shown} what="the explanation">${shown.data !== null && html`<${Answer} explanation=${shown.data} sub=${query.get('sub') ?? ''} />`}<//>`}`
}

/** @param {{ explanation: Explanation, sub: string }} props */
function Answer({ explanation: found, sub }) {
  const allowed = found.effect === 'allow'
  return html`<div class=${`notice summary ${allowed ? 'good' : 'bad'}`} role="status">
      <p><strong>${found.method} ${found.path} would be ${allowed ? 'allowed' : 'refused'}: ${found.reason}.</strong></p>
      ${found.detail !== null && html`<p>${found.detail}</p>`}
      ${found.reason === 'no-team' && sub !== '' && html`<p>A subject alone says little: groups and app of the token decide. <a href=${linkTo(['decisions'], { subject: sub })}>Take one of the decisions of ${sub}</a>, and ask from there with what the token said.</p>`}
    </div>
    <${Facts} pairs=${[
      ['Operation', found.operation],
      ['Team', found.team === null ? null : html`<${TeamLink} id=${found.team} />`],
      ['Grant', found.grant],
      ['Nearest grant', found.nearest],
      ['Permission', found.permission],
      ['Key', found.key],
      ['Owner', [found.owner, found.contact].filter((each) => each !== null).join(', ')],
      ['Guardrails', listed(found.guardrails)],
      ['Limits', listed(found.limits)],
    ]} />
    <h2>Step by step</h2>
    <${Steps} steps=${found.steps} />`
}
