// The address says which view is shown, and with which filters: every view is a link, and the back button works.

import { useEffect, useState } from 'preact/hooks'

const base = '/console/'
/** @type {Set<() => void>} */
const listeners = new Set()

/** @returns {{ parts: readonly string[], query: URLSearchParams, text: string }} */
export function readAddress() {
  const { pathname, search } = window.location
  const parts = pathname
    .slice(base.length)
    .split('/')
    .filter((each) => each !== '')
    .map(decoded)
  return { parts, query: new URLSearchParams(search), text: pathname + search }
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/**
 * The path of a view.
 * @param {readonly string[]} parts
 * @param {Record<string, string | null | undefined>} [query] Empty values are left out.
 */
export function linkTo(parts, query = {}) {
  const found = new URLSearchParams()
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== '') found.set(name, value)
  const text = found.toString()
  return base + parts.map(encodeURIComponent).join('/') + (text === '' ? '' : `?${text}`)
}

/**
 * What a form holds, without blanks around it.
 * @param {HTMLFormElement} form
 * @returns {Record<string, string>}
 */
export function fieldsOf(form) {
  return Object.fromEntries(
    [...new FormData(form)].map(([name, value]) => [name, typeof value === 'string' ? value.trim() : '']),
  )
}

/** @param {string} path */
export function go(path) {
  if (path !== window.location.pathname + window.location.search) window.history.pushState(null, '', path)
  for (const each of listeners) each()
}

export function useAddress() {
  const [address, setAddress] = useState(readAddress)
  useEffect(() => {
    const read = () => setAddress(readAddress())
    listeners.add(read)
    window.addEventListener('popstate', read)
    return () => {
      listeners.delete(read)
      window.removeEventListener('popstate', read)
    }
  }, [])
  return address
}

/**
 * Links of the console change the view without loading the page again; the browser has all others.
 * @param {MouseEvent} event
 */
export function followLink(event) {
  const link = event.target instanceof Element ? event.target.closest('a') : null
  if (link === null || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const path = link.getAttribute('href') ?? ''
  if (!path.startsWith(base) || link.hasAttribute('download')) return
  event.preventDefault()
  go(path)
}
