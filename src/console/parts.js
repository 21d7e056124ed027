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
      <p>${error.message} ${data !== null && 'What is shown was read before that.'}</p>
      ${error.signIn !== null && html`<p><a href=${`${error.signIn}?return_to=${encodeURIComponent(window.location.pathname + window.location.search)}`}>Sign in</a></p>`}
      ${error.signIn === null && again !== undefined && html`<button type="button" onClick=${again}>Try again</button>`}
    </div>`
    }
    ${data === null && error === null && html`<p class="loading" role="status">Reading ${what} …</p>`}
    ${data !== null && children}
  `
}

/** @param {{ time: string | null | undefined, both?: boolean }} props */
export function When({ time, both = false }) {
  if (time === null || time === undefined) return html`<span>never</span>`
  return html`<time datetime=${time} title=${time}>${both ? `${clock(time)}, ${distance(time)}` : clock(time)}</time>`
}

/**
 * A table. On a narrow page each row becomes a list with the heads beside the cells. `keyOf` keeps the focus on a row that moves.
 * @template Row
 * @param {{ caption: string, heads: readonly string[], rows: readonly Row[], cells: (row: Row) => readonly Children[], empty: string, numbers?: readonly number[], keyOf?: (row: Row) => string }} props
 */
export function Table({ caption, heads, rows, cells, empty, numbers = [], keyOf }) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0">
    <table>
      <caption>${caption}</caption>
      <thead><tr>${heads.map((head, index) => html`<th scope="col" class=${numbers.includes(index) ? 'number' : ''}>${head}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr key=${keyOf?.(row)}>${cells(row).map(
              (cell, index) =>
                html`<td data-head=${heads[index] ?? ''} class=${numbers.includes(index) ? 'number' : ''}>${cell ?? '–'}</td>`,
            )}</tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

/** @param {{ pairs: readonly (readonly [string, Children])[] }} props */
export function Facts({ pairs }) {
  return html`<dl class="facts">
    ${pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value === null || value === undefined || value === '' ? '–' : value}</dd></div>`)}
  </dl>`
}

/** @param {{ name: string, value: Children, note?: Children }} props */
export function Figure({ name, value, note }) {
  return html`<div class="figure"><dt>${name}</dt><dd><strong>${value}</strong>${note !== undefined && html`<span>${note}</span>`}</dd></div>`
}

/** @param {{ kind: 'good' | 'bad' | 'warn' | 'plain', children?: Children }} props */
export function Mark({ kind, children }) {
  return html`<span class=${`mark ${kind}`}>${children}</span>`
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
  return html`<meter class=${kind} min="0" max="100" value=${Math.min(percent, 100)} aria-label=${what}></meter> ${Math.round(percent)} %`
}

/**
 * A button whose change needs a reason: it opens a dialog, and shows the result there.
 * @param {{ label: string, title: string, text: string, needs?: 'reason' | 'nothing', danger?: boolean, run: (reason: string) => Promise<string>, after?: () => void }} props
 */
export function Change({ label, title, text, needs = 'nothing', danger = false, run, after }) {
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
              html`<label for=${`${id}-reason`}>Reason, which is recorded</label>
              <input id=${`${id}-reason`} required maxlength="200" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} />`
            }
            ${state.error !== null && html`<p class="notice bad" role="alert">${state.error}</p>`}
            <div class="buttons">
              <button type="submit" class=${danger ? 'danger' : 'main'} disabled=${state.busy}>${state.busy ? 'Wait …' : label}</button>
              <button type="button" onClick=${close}>Cancel</button>
            </div>
          </form>`
          : html`<p class="notice good" role="status">${state.done}</p>
            <div class="buttons"><button type="button" class="main" onClick=${close}>Close</button></div>`
      }
    </dialog>`
}
