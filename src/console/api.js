// Calls of the API of the operators' listener, and the states that a view shows of them.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

/** A refusal, with its sentence. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0: there was no answer.
   * @param {string | null} signIn
   */
  constructor(message, status, signIn) {
    super(message)
    this.status = status
    this.signIn = signIn
  }
}

const silence = 'The instance does not answer. It may be stopped or restarting, or the network between may be down.'

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {{ isPoll?: boolean, reason?: string }} [how] A poll does not count as use of a session. The reason is for the audit log.
 * @returns {Promise<any>}
 */
export async function call(method, path, body, { isPoll = false, reason = '' } = {}) {
  /** @type {Record<string, string>} */
  const headers = { 'gateway-console': isPoll ? 'poll' : 'use', accept: 'application/json' }
  if (reason !== '') headers['gateway-reason'] = encodeURIComponent(reason)
  if (body !== undefined) headers['content-type'] = 'application/json'
  const response = await fetch(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new ApiError(silence, 0, null)
  })
  const text = await response.text().catch(() => '')
  const found = parsed(text)
  // A reload that was refused, and a rotation that may not begin, answer with what they have to say.
  if (response.ok || (response.status === 409 && found?.error === undefined && found !== null)) return found
  const said = found?.error ?? found?.detail ?? `The listener answered with status ${response.status}.`
  throw new ApiError(String(said), response.status, response.status === 401 ? (found?.sign_in ?? null) : null)
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Whoever comes back to the page sees what is now, not what was. */
const wakings = /** @type {const} */ ([
  [document, 'visibilitychange'],
  [window, 'online'],
])

/**
 * What a path answers, read again every so often while the page is visible. The last answer stays while a later one fails.
 * @template T
 * @param {string | null} path Null: nothing is asked.
 * @param {number} [everyMs] 0: once.
 * @returns {{ data: T | null, error: ApiError | null, again: () => void }}
 */
export function useData(path, everyMs = 0) {
  const [state, setState] = useState(
    /** @returns {{ path: string | null, data: any, error: any }} */ () => ({ path, data: null, error: null }),
  )
  const [turn, setTurn] = useState(0)
  const latest = useRef(path)
  latest.current = path
  useEffect(() => {
    if (path === null) return undefined
    let timer = 0
    let ended = false
    let isAsking = false
    /** @param {boolean} isPoll */
    const ask = async (isPoll) => {
      clearTimeout(timer)
      isAsking = true
      /** @type {any} */
      let error = null
      const data = await call('GET', path, undefined, { isPoll }).catch((thrown) => {
        error = thrown
        return null
      })
      isAsking = false
      if (ended || latest.current !== path) return
      setState((before) => ({ path, data: error === null ? data : before.path === path ? before.data : null, error }))
      if (everyMs > 0) timer = window.setTimeout(wake, everyMs)
    }
    const wake = () => {
      if (!document.hidden && !isAsking) void ask(true)
    }
    void ask(turn > 0)
    if (everyMs > 0) for (const [target, name] of wakings) target.addEventListener(name, wake)
    return () => {
      ended = true
      clearTimeout(timer)
      for (const [target, name] of wakings) target.removeEventListener(name, wake)
    }
  }, [path, everyMs, turn])
  const again = useCallback(() => setTurn((each) => each + 1), [])
  // What an earlier path answered is not shown under a later one.
  const isCurrent = state.path === path
  return { data: isCurrent ? state.data : null, error: isCurrent ? state.error : null, again }
}
