// Masks what must never be printed: key values, tokens, and values of fields named like them.

import { visibleLines } from './visible.ts'

/** Classes of errors whose message was written in this code base and holds no secret. */
export type OwnErrors = readonly (abstract new (...values: never[]) => Error)[]

/** How credentials begin that need no name in front of them. A new kind of credential is added here and below. */
export const credentialStart = /(?i:cog_|apk_)|eyJ|(?i:bearer)\s/
const keyStart = /cog_|apk_/i
/** What each pattern below needs, so that most texts are read once. */
const hint = new RegExp(`${credentialStart.source}|authorization|token|secret|password|api[_-]?key|assertion`, 'i')

/**
 * The text with everything that looks like a credential replaced: Devin keys (`cog_…`, `apk_…`), JWTs and other
 * base64url JSON (`eyJ…`), `Bearer …`, and `token=…`-like pairs. Errs on the side of masking. Linear in the length of
 * the text: no pattern can start inside what another try has already read.
 */
export function maskSecrets(text: string): string {
  if (!hint.test(text)) return text
  let masked = text
  if (keyStart.test(masked)) {
    // In whatever case somebody has typed it. The token characters of RFC 6750, `%` for values inside a URL, and characters without width between them.
    masked = masked.replace(/(cog_|apk_)[A-Za-z0-9._~+/=%\p{Cf}\p{Default_Ignorable_Code_Point}-]+/giu, '$1[masked]')
  }
  if (text.includes('eyJ')) masked = masked.replace(/[A-Za-z0-9_.-]+/g, maskJwt)
  return masked
    .replace(/\b(bearer\s)\s*[^\s,;"'<>[\]]{16,}/gi, '$1[masked]')
    .replace(/((?:authorization|token|secret|password|api[_-]?key|assertion)=["']?)[^\s&"'<>;,[\]]+/gi, '$1[masked]')
}

// `{"alg":"none"}` in base64url has 19 characters; what is shorter and starts with eyJ may be a word.
const shortestEncodedJson = 19

/** Takes a whole run of token characters, so that the search for dots never covers the same text twice. */
function maskJwt(run: string): string {
  const start = run.indexOf('eyJ')
  if (start < 0) return run
  const firstDot = run.indexOf('.', start)
  const hasTwoDots = firstDot > 0 && run.includes('.', firstDot + 1)
  return hasTwoDots || run.length - start >= shortestEncodedJson ? `${run.slice(0, start)}eyJ[masked]` : run
}

// The id of an API key is none: by it a reviewer finds the key at Devin. The secret_id of a Vault login is a credential.
const sensitiveName =
  /authorization|token|secret|password|passwd|passphrase|cookie|credential|apikey(?!id$)|privatekey|keyvalue|bearer|jwt|assertion/

/** True for names of fields whose value is dropped unread: `Authorization`, `access_token`, `clientSecret`, `x-api-key`… */
export function isSensitiveName(name: string): boolean {
  return sensitiveName.test(name.toLowerCase().replace(/[^a-z0-9]/g, ''))
}

/** Header fields that carry credentials. Narrower than names of members: lists also hold permissions like ViewOrgSecrets. */
const secretField = /^(?:(?:proxy-)?authorization|(?:set-)?cookie|x-[a-z0-9-]*(?:token|key|secret))$/i

// Bounds on one printed value, so that a mistake costs a line and not the disk.
const maxDepth = 8
const maxMembers = 100
const maxValues = 2000
const maxTextChars = 4096
const maxFrames = 10
const redacted = '[redacted]'

/**
 * A copy that is safe to print: plain JSON data with secrets masked and unseen characters escaped in every string and
 * name, and with the values of sensitive names gone. Errors are reduced to name, code, place and cause; their message stays only for `ownErrors`,
 * because others quote what they were given (JSON.parse, Node's argument checks, jose with whole claim sets). Instances
 * of other classes become their class name. Never throws.
 */
export function printable(value: unknown, ownErrors: OwnErrors = []): unknown {
  return new Printer(ownErrors).copy(value)
}

class Printer {
  readonly #ownErrors: OwnErrors
  readonly #ancestors = new Set<object>()
  #values = 0

  constructor(ownErrors: OwnErrors) {
    this.#ownErrors = ownErrors
  }

  copy(value: unknown): unknown {
    this.#values += 1
    if (this.#values > maxValues) return '[too much]'
    switch (typeof value) {
      case 'string':
        return text(value)
      case 'number':
        return Number.isFinite(value) ? value : String(value)
      case 'boolean':
      case 'undefined':
        return value
      case 'bigint':
        return text(String(value))
      case 'object':
        return value === null ? null : this.#object(value)
      default:
        return `[${typeof value}]`
    }
  }

  #object(value: object): unknown {
    if (this.#ancestors.has(value)) return '[circular]'
    if (this.#ancestors.size >= maxDepth) return '[too deep]'
    this.#ancestors.add(value)
    try {
      if (value instanceof Error) return this.#error(value)
      if (Array.isArray(value)) return this.#array(value)
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? '[no date]' : value.toISOString()
      const prototype: unknown = Object.getPrototypeOf(value)
      if (prototype === Object.prototype || prototype === null) return this.#record(value)
      return `[${text(value.constructor.name)}]`
    } catch {
      // A getter or a proxy that throws.
      return '[unreadable]'
    } finally {
      this.#ancestors.delete(value)
    }
  }

  #error(error: Error): unknown {
    const code: unknown = 'code' in error ? error.code : undefined
    const own = this.#ownErrors.some((type) => error instanceof type)
    // A stack begins with the message as it was; frames are what follows it and has a place in a file.
    const stack = typeof error.stack === 'string' ? error.stack : ''
    const start = stack.indexOf(error.message)
    const lines = start < 0 ? [] : stack.slice(start + error.message.length).split('\n')
    const frames = lines.flatMap((line) => /^ {4}at (.+:\d+:\d+\)?)$/.exec(line)?.[1] ?? [])
    return {
      name: text(error.name),
      ...(typeof code === 'string' || typeof code === 'number' ? { code: text(String(code)) } : {}),
      ...(own ? { message: text(error.message) } : {}),
      ...(frames.length > 0 ? { at: frames.slice(0, maxFrames).map(text) } : {}),
      ...(error.cause === undefined ? {} : { cause: this.copy(error.cause) }),
      ...(error instanceof AggregateError ? { errors: this.copy(error.errors) } : {}),
    }
  }

  #array(values: readonly unknown[]): unknown {
    const copies = values.slice(0, maxMembers).map((value, index) => {
      const before = values[index - 1]
      // Lists of header fields hold name, value, name, value, as Node's rawHeaders do, or [name, value] pairs.
      const named = typeof value === 'string' && typeof before === 'string' && secretField.test(before)
      return named ? redacted : this.copy(value)
    })
    return values.length > maxMembers ? [...copies, `[${values.length - maxMembers} more]`] : copies
  }

  #record(value: object): unknown {
    const members: [string, unknown][] = Object.entries(value)
    const copies = members.slice(0, maxMembers).map(([name, member]): [string, unknown] => {
      const harmless = member === null || member === undefined || typeof member === 'boolean'
      return [text(name), !harmless && isSensitiveName(name) ? redacted : this.copy(member)]
    })
    if (members.length > maxMembers) copies.push(['[more]', members.length - maxMembers])
    // `{ name: 'authorization', value: … }`: the sensitive name is itself a value.
    const copy = Object.fromEntries(copies)
    const named = ['name', 'key', 'header', 'field'].some(
      (name) => typeof copy[name] === 'string' && isSensitiveName(copy[name]),
    )
    return named && 'value' in copy ? { ...copy, value: redacted } : copy
  }
}

function text(value: string): string {
  const masked = visibleLines(maskSecrets(value))
  return masked.length > maxTextChars
    ? `${masked.slice(0, maxTextChars)}… [${masked.length - maxTextChars} more]`
    : masked
}
