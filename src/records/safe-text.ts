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

/** How often a text may be escaped so that its secrets are looked for; gateways and browsers in a row escape a few times. */
const mostEscapes = 5

/** Text that is escaped, once or several times, is shown as it reads when that holds a secret. */
function withoutHidden(text: string): string {
  let read = text
  for (let times = 0; times < mostEscapes && read.includes('%'); times += 1) {
    read = unescaped(read)
    const masked = maskSecrets(read)
    if (masked !== read) return visible(masked)
  }
  return text
}

/** Where an escape is malformed or the text is not UTF-8, byte by byte: one such place must not hide the others. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%([0-9a-f]{2})/gi, (_escape, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
  }
}
