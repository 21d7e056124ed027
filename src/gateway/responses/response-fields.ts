// Which header fields of the upstream's answer cross: an allow-list, read from the raw list.

import { firstValue } from '../../http/field-list.ts'
import { dropListed, plainId } from '../fields.ts'

const responseFields = new Set([
  'accept-ranges',
  'age',
  'allow',
  'cache-control',
  'cdn-cache-control',
  'content-digest',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-range',
  'content-security-policy',
  'content-type',
  'date',
  'deprecation',
  'digest',
  'etag',
  'expires',
  'last-modified',
  'link',
  'location',
  'preference-applied',
  'repr-digest',
  'retry-after',
  'retry-after-ms',
  'server-timing',
  'sunset',
  'vary',
  'warning',
  'x-content-type-options',
  'x-should-retry',
])
const responsePrefixes = /^(?:x-)?ratelimit|^x-devin-/

/** An answer's head as far as the gateway looks at it. */
export interface AnswerFields {
  /** Name and value alternating, names in lower case; without length and coding, which depend on what the guard does. */
  readonly pass: string[]
  readonly contentLength: number | null
  readonly contentEncoding: string | null
  readonly requestId: string | null
  /** Why the answer must not be shared, where a field that is not passed on says so: a token. */
  readonly unshared: string | null
}

/** Node's and undici's forms of a raw field list. */
export type RawFields = readonly (Buffer | string | Buffer[])[]

/** Reads the upstream's raw field list (name and value buffers alternating) and masks each value. */
export function readAnswerFields(rawHeaders: RawFields, mask: (value: string) => string): AnswerFields {
  const pass: string[] = []
  let contentLength: number | null = null
  let contentEncoding: string | null = null
  let requestId: string | null = null
  let unshared: string | null = null
  let pragma = false
  let connection: string | null = null
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const nameAsSent = textOf(rawHeaders[index])
    const name = nameAsSent.toLowerCase()
    const value = textOf(rawHeaders[index + 1])
    if (name === 'content-length') contentLength = Number(value)
    else if (name === 'content-encoding')
      contentEncoding = contentEncoding === null ? value : `${contentEncoding}, ${value}`
    else if (name === 'connection') connection = connection === null ? value : `${connection}, ${value}`
    else if (name === 'set-cookie' || name === 'set-cookie2') unshared = 'cookie'
    else if (name === 'pragma') pragma ||= /no-cache/i.test(value)
    else if (name === 'x-request-id') requestId = plainId.test(value) ? mask(value) : null
    // The upstream chooses names, too: a field whose name holds a key is dropped.
    else if (responseFields.has(name) || (responsePrefixes.test(name) && mask(nameAsSent) === nameAsSent))
      pass.push(name, mask(value))
  }
  // Pragma is HTTP/1.0's form, used only without Cache-Control.
  if (pragma && firstValue(pass, 'cache-control') === null) unshared ??= 'no-store'
  if (connection !== null) {
    // A cache directive in a field that is dropped still has to count.
    if (aboutCaching.test(connection)) unshared ??= 'no-store'
    dropListed(pass, connection)
  }
  return { pass, contentLength, contentEncoding, requestId, unshared }
}

const aboutCaching = /\b(?:cache-control|cdn-cache-control|expires|vary|age|date)\b/i

function textOf(raw: Buffer | string | Buffer[] | undefined): string {
  if (raw === undefined) return ''
  if (typeof raw === 'string') return raw
  return Array.isArray(raw) ? raw.map((part) => part.toString('latin1')).join(', ') : raw.toString('latin1')
}

const ofTheCodedForm = new Set(['accept-ranges', 'content-digest', 'repr-digest', 'digest'])

/** The fields of a decoded answer: fields about the coded bytes are dropped, a strong ETag becomes weak. */
export function weakened(answer: AnswerFields): AnswerFields {
  const pass: string[] = []
  for (let index = 0; index < answer.pass.length; index += 2) {
    const name = answer.pass[index] ?? ''
    const value = answer.pass[index + 1] ?? ''
    if (ofTheCodedForm.has(name)) continue
    pass.push(name, name === 'etag' && !value.startsWith('W/') ? `W/${value}` : value)
  }
  return { ...answer, pass }
}
