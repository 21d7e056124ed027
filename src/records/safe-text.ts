// Makes text of callers, issuers and upstreams safe to record: secrets masked, invisible characters escaped.

import { credentialStart, maskSecrets } from './mask.ts'
import { visible } from './visible.ts'

/** The text without secrets, also where percent escapes or unseen characters hide them, and with nothing unseen. */
export function safeText(text: string): string {
  const safe = visible(maskSecrets(text))
  return text.includes('%') ? withoutHidden(safe) : safe
}

/** A value of a record as JSON, safe as `safeText` makes it in every string and name. */
export function recordJson(value: unknown): string {
  const json = JSON.stringify(value)
  return isPlain(json) ? json : JSON.stringify(safeCopy(value))
}

/** Whether there is surely nothing to mask or to escape in a JSON text; found out in much less time than writing it takes. */
function isPlain(json: string): boolean {
  return (
    // JSON writes controls with a backslash.
    !json.includes('\\') &&
    !json.includes('%') &&
    !json.includes('=') &&
    !json.includes('\u007F') &&
    // All of it is ASCII.
    Buffer.byteLength(json) === json.length &&
    !credentialStart.test(json)
  )
}

function safeCopy(value: unknown): unknown {
  if (typeof value === 'string') return safeText(value)
  if (Array.isArray(value)) return value.map(safeCopy)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [safeText(name), safeCopy(member)]))
}

/** Text that is well escaped is shown as it reads when that holds a secret. */
function withoutHidden(text: string): string {
  try {
    const read = decodeURIComponent(text)
    const masked = maskSecrets(read)
    return masked === read ? text : visible(masked)
  } catch {
    return text
  }
}
