// The console: the head with the views, and the view that the address names.

import { html, render } from 'htm/preact'
import { useEffect, useRef } from 'preact/hooks'
import { call, useData } from './api.js'
import { followLink, go, linkTo, useAddress } from './address.js'
import { Head } from './parts.js'
import { SessionContext } from './session.js'
import { Audit } from './views/audit.js'
import { Blocks } from './views/blocks.js'
import { Cache } from './views/cache.js'
import { Decision } from './views/decision.js'
import { Decisions } from './views/decisions.js'
import { Explain } from './views/explain.js'
import { Keys } from './views/keys.js'
import { Now } from './views/now.js'
import { Policies } from './views/policies.js'
import { Team } from './views/team.js'
import { Teams } from './views/teams.js'

const names = ['Now', 'Decisions', 'Teams', 'Policies', 'Keys', 'Cache', 'Audit', 'Blocks', 'Explain']

/** @param {readonly string[]} parts @param {URLSearchParams} query */
function viewOf([name = 'now', id], query) {
  if (name === 'now') return html`<${Now} />`
  if (name === 'decisions')
    return id === undefined ? html`<${Decisions} query=${query} />` : html`<${Decision} key=${id} id=${id} />`
  if (name === 'teams') return id === undefined ? html`<${Teams} />` : html`<${Team} key=${id} id=${id} />`
  if (name === 'policies') return html`<${Policies} query=${query} />`
  if (name === 'keys') return html`<${Keys} query=${query} />`
  if (name === 'cache') return html`<${Cache} />`
  if (name === 'audit') return html`<${Audit} />`
  if (name === 'blocks') return html`<${Blocks} query=${query} />`
  if (name === 'explain') return html`<${Explain} query=${query} />`
  return html`<${Head} title="No such view" /><p class="empty">There is no view of this name. Choose one above.</p>`
}

/** Set while the search of another view was asked for. */
let wantsSearch = false

/** `/` goes to the search field of the view, or to the search for decisions. @param {KeyboardEvent} event */
function searchKey(event) {
  const { target } = event
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return
  if (target instanceof HTMLElement && target.matches('input, select, textarea')) return
  if (document.querySelector('dialog[open]') !== null) return
  event.preventDefault()
  const field = document.querySelector('#search')
  if (field instanceof HTMLElement) return focusOn(field)
  wantsSearch = true
  go(linkTo(['decisions']))
}

/** @param {HTMLElement} element */
function focusOn(element) {
  element.closest('details')?.setAttribute('open', '')
  element.focus()
}

function Console() {
  const { parts, query } = useAddress()
  const asked = useData('/api/session', 60_000)
  const { data: session, error } =
    /** @type {{ data: import('./session.js').Session | null, error: import('./api.js').ApiError | null }} */ (asked)
  const main = useRef(/** @type {HTMLElement | null} */ (null))
  const place = parts.join('/')
  const first = useRef(true)
  useEffect(() => {
    // After a change of the view, reading goes on at its head.
    const next = main.current?.querySelector(wantsSearch ? '#search' : 'h1')
    if (!first.current && next instanceof HTMLElement) focusOn(next)
    wantsSearch = false
    first.current = false
  }, [place])
  useEffect(() => {
    document.addEventListener('keydown', searchKey)
    return () => document.removeEventListener('keydown', searchKey)
  }, [])
  const current = parts[0] ?? 'now'
  return html`<${SessionContext.Provider} value=${session}>
    <div onClick=${followLink}>
      <a class="skip" href="#main">Skip to the view</a>
      <header class="top"><div>
        <b>devin-gateway</b>
        <nav aria-label="Views">${names.map((name) => html`<a href=${linkTo([name.toLowerCase()])} aria-current=${name.toLowerCase() === current ? 'page' : undefined}>${name}</a>`)}</nav>
        <${Who} session=${session} error=${error} />
      </div></header>
      <main id="main" tabindex="-1" ref=${main}>${viewOf(parts, query)}</main>
    </div>
  <//>`
}

/** @param {{ session: import('./session.js').Session | null, error: import('./api.js').ApiError | null }} props */
function Who({ session, error }) {
  if (error !== null && error.signIn !== null)
    return html`<span class="who"><a href=${`${error.signIn}?return_to=${encodeURIComponent(window.location.pathname + window.location.search)}`}>Sign in</a></span>`
  if (session === null) return null
  if (session.signed_in === 'local') return html`<span class="who">Local, no login · times in UTC</span>`
  const leave = () => call('POST', '/api/session/sign-out').then(() => window.location.assign('/console/'))
  return html`<span class="who">${session.email ?? session.subject} (${session.roles.map((role) => role.replace('_', ' ')).join(', ')}) · UTC <button type="button" onClick=${leave}>Sign out</button></span>`
}

const place = document.getElementById('app')
if (place !== null) {
  place.textContent = ''
  render(html`<${Console} />`, place)
}
