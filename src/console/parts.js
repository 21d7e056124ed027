// What views are made of: states in words, tables, figures, and buttons that ask for a reason.

import { html } from 'htm/preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { clock, distance } from './format.js'
import { linkTo } from './address.js'

/** @typedef {import('preact').ComponentChildren} Children */

/**
 * The head of a view.
 * @param {{ title: string, children?: Children }} props
 */
export function Head({ title, children }) {
  useEffect(() => {
    document.title = `${title} · devin-gateway`
  }, [title])
  return html`<header class="head"><h1 tabindex="-1">${title}</h1>${children}</header>`
}

/**
 * The state of what was asked: an error and what was known before it, or that it is being read.
 * @param {{ of: { data: unknown, error: import('./api.js').ApiError | null, again?: () => void }, what: string, children?: Children }} props
 */
export function State({ of, what, children }) {
  const { data, error, again } = of
  return html`
    ${
      error !== null &&
      html`<div class="notice bad" role="alert">
      <p>${error.signIn === null ? error.message : 'Your session has ended.'} ${data !== null && 'What is shown was read before that.'}</p>
      ${error.signIn !== null && html`<p><a href=${`${error.signIn}?return_to=${encodeURIComponent(window.location.pathname + window.location.search)}`}>Sign in</a></p>`}
      ${error.signIn === null && again !== undefined && html`<button type="button" onClick=${again}>Try again</button>`}
    </div>`
    }
    ${data === null && error === null && html`<p class="loading" role="status">Reading ${what} …</p>`}
    ${data !== null && children}
  `
}

/** `never`: what stands there without a time. @param {{ time: string | null | undefined, both?: boolean, never?: string }} props */
export function When({ time, both = false, never = 'never' }) {
  if (time === null || time === undefined) return html`<span>${never}</span>`
  return html`<time datetime=${time} title=${time}>${both ? `${clock(time)}, ${distance(time)}` : clock(time)}</time>`
}

/**
 * A table. On a narrow page each row becomes a card with the heads above the cells, and `wide` cells take its whole width; roles keep
 * it a table for screen readers. `dense`: for many columns. `quiet`: the
 * caption is for those who do not see the heading above. `keyOf` keeps the focus on a row that moves.
 * @template Row
 * @param {{ caption: string, heads: readonly string[], rows: readonly Row[], cells: (row: Row) => readonly Children[], empty: string, numbers?: readonly number[], wide?: readonly number[], quiet?: boolean, dense?: boolean, keyOf?: (row: Row) => string }} props
 */
export function Table({
  caption,
  heads,
  rows,
  cells,
  empty,
  numbers = [],
  wide = [],
  quiet = false,
  dense = false,
  keyOf,
}) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`
  /** @param {number} index @param {Children} [cell] */
  const classOf = (index, cell) =>
    [numbers.includes(index) && 'number', wide.includes(index) && 'wide', cell === null && 'none']
      .filter((each) => each !== false)
      .join(' ')
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0">
    <table role="table" class=${dense ? 'dense' : ''}>
      <caption class=${quiet ? 'unseen' : ''}>${caption}</caption>
      <thead role="rowgroup"><tr role="row">${heads.map((head, index) => html`<th scope="col" role="columnheader" class=${classOf(index)}>${head}</th>`)}</tr></thead>
      <tbody role="rowgroup">
        ${rows.map(
          (row) =>
            html`<tr role="row" key=${keyOf?.(row)}>${cells(row).map(
              (cell, index) =>
                html`<td role="cell" data-head=${heads[index] ?? ''} class=${classOf(index, cell ?? null)}>${cell ?? '–'}</td>`,
            )}</tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

/** What is not known is left out. @param {{ pairs: readonly (readonly [string, Children])[] }} props */
export function Facts({ pairs }) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '')
  return html`<dl class="facts">${known.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

/** Names as a value; null where there are none. @param {readonly string[]} names */
export function listed(names) {
  return names.length === 0 ? null : names.join(', ')
}

/** File and line, short; the whole path shows on hover. @param {{ of: string }} props */
export function Source({ of }) {
  return html`<code class="source" title=${of}>${of.split('/').slice(-2).join('/')}</code>`
}

/** @param {{ name: string, value: Children, note?: Children }} props */
export function Figure({ name, value, note }) {
  return html`<div class="figure"><dt>${name}</dt><dd><strong>${value}</strong>${note !== undefined && html`<span>${note}</span>`}</dd></div>`
}

/** @param {{ kind: 'good' | 'bad' | 'warn' | 'plain', children?: Children }} props */
export function Mark({ kind, children }) {
  return html`<span class=${`mark ${kind}`}>${children}</span>`
}

/** What stands in backticks is code. @param {string} text */
export function withCode(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))
}

/** @param {{ texts: readonly string[], none?: string }} props */
export function Texts({ texts, none = 'none' }) {
  if (texts.length < 2) return html`<span>${texts[0] ?? none}</span>`
  return html`<ul class="texts">${texts.map((each) => html`<li>${each}</li>`)}</ul>`
}

/** @param {{ id: string | null }} props */
export function TeamLink({ id }) {
  return id === null ? html`<span>–</span>` : html`<a href=${linkTo(['teams', id])}>${id}</a>`
}

/** @param {{ percent: number | null, what: string }} props */
export function Share({ percent, what }) {
  if (percent === null) return html`<span>–</span>`
  const kind = percent >= 100 ? 'bad' : percent >= 80 ? 'warn' : 'good'
  const value = Math.max(0, Math.min(Math.round(percent), 100))
  return html`<span class="share"><span class=${`bar ${kind}`} role="meter" aria-label=${what} aria-valuenow=${value} aria-valuemin="0" aria-valuemax="100"><span style=${{ width: `${value}%` }}></span></span>${Math.round(percent)} %</span>`
}

/**
 * A button whose change needs a reason: it opens a dialog, and shows the result there.
 * @param {{ label: string, title: string, text: string, needs?: 'reason' | 'nothing', danger?: boolean, run: (reason: string) => Promise<string>, after?: () => void }} props
 */
export function Change({ label, title, text, needs = 'reason', danger = false, run, after }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null))
  const [reason, setReason] = useState('')
  const [state, setState] = useState(
    /** @type {{ busy: boolean, done: string | null, error: string | null }} */ ({
      busy: false,
      done: null,
      error: null,
    }),
  )
  const id = useId()
  const open = () => {
    setState({ busy: false, done: null, error: null })
    dialog.current?.showModal()
  }
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault()
    setState({ busy: true, done: null, error: null })
    const error = await run(reason.trim()).then(
      (done) => {
        setState({ busy: false, done, error: null })
        setReason('')
        after?.()
        return null
      },
      (thrown) => (thrown instanceof Error ? thrown.message : String(thrown)),
    )
    if (error !== null) setState({ busy: false, done: null, error })
  }
  const close = () => dialog.current?.close()
  return html`<button type="button" class=${danger ? 'danger' : ''} onClick=${open}>${label}</button>
    <dialog ref=${dialog} aria-labelledby=${`${id}-title`}>
      <h2 id=${`${id}-title`}>${title}</h2>
      <p>${text}</p>
      ${
        state.done === null
          ? html`<form onSubmit=${submit}>
            ${
              needs === 'reason' &&
              html`<label for=${`${id}-reason`}>Reason, for the audit log</label>
              <input id=${`${id}-reason`} required maxlength="200" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} />`
            }
            ${state.error !== null && html`<p class="notice bad" role="alert">${state.error}</p>`}
            <div class="buttons">
              <button type="submit" class=${danger ? 'danger' : 'main'} disabled=${state.busy}>${state.busy ? 'Working …' : label}</button>
              <button type="button" onClick=${close}>Cancel</button>
            </div>
          </form>`
          : html`<p class="notice good" role="status">${state.done}</p>
            <div class="buttons"><button type="button" class="main" onClick=${close}>Close</button></div>`
      }
    </dialog>`
}
