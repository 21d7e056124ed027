// Our member of the Cache-Status field (RFC 9211). Tokens only, so nothing has to be quoted.

/** Why the upstream was asked (RFC 9211 section 2.2). */
export type Forward = 'bypass' | 'method' | 'uri-miss' | 'request' | 'stale' | 'partial' | 'miss'

export interface Forwarded {
  readonly fwd: Forward
  /** Status of the upstream's answer; null when there was none. */
  readonly fwdStatus: number | null
  readonly stored: boolean
  readonly collapsed: boolean
  /** Remaining lifetime in milliseconds, below zero when past; null when there is none. */
  readonly leftMs: number | null
  readonly detail: string | null
}

const name = 'devin-gateway'

/** The answer came from the store and nobody was asked. `detail` names the exception by which a stale one was used. */
export function hitStatus(leftMs: number, detail: string | null): string {
  const member = `${name}; hit; ttl=${Math.floor(leftMs / 1000)}`
  return detail === null ? member : `${member}; detail=${detail}`
}

export function forwardedStatus(forwarded: Forwarded): string {
  const { fwd, fwdStatus, stored, collapsed, leftMs, detail } = forwarded
  let member = `${name}; fwd=${fwd}`
  if (fwdStatus !== null) member += `; fwd-status=${fwdStatus}`
  if (stored) member += '; stored'
  if (collapsed) member += '; collapsed'
  if (leftMs !== null) member += `; ttl=${Math.floor(leftMs / 1000)}`
  return detail === null ? member : `${member}; detail=${detail}`
}
