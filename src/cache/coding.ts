// Content codings of stored bodies (RFC 9110 section 8.4): who accepts which, and undoing one for who does not.

import * as zlib from 'node:zlib'
import { listMembers } from './field-list.ts'

/** HTTP allows no window above 8 MiB (RFC 9659), and memory could not be bounded with one. */
const smallWindow = { params: { [zlib.constants.ZSTD_d_windowLogMax]: 23 } }
const decoders: ReadonlyMap<string, (body: Buffer, maxOutputLength: number) => Buffer> = new Map([
  ['gzip', (body: Buffer, maxOutputLength: number) => zlib.gunzipSync(body, { maxOutputLength })],
  ['x-gzip', (body: Buffer, maxOutputLength: number) => zlib.gunzipSync(body, { maxOutputLength })],
  ['deflate', (body: Buffer, maxOutputLength: number) => zlib.inflateSync(body, { maxOutputLength })],
  ['br', (body: Buffer, maxOutputLength: number) => zlib.brotliDecompressSync(body, { maxOutputLength })],
  [
    'zstd',
    (body: Buffer, maxOutputLength: number) => zlib.zstdDecompressSync(body, { maxOutputLength, ...smallWindow }),
  ],
])

export function canDecode(coding: string): boolean {
  return decoders.has(coding)
}

/** The body without its coding; null when it is damaged, longer than `maxBytes`, or the coding is unknown. Blocks. */
export function decode(coding: string, body: Buffer, maxBytes: number): Buffer | null {
  try {
    return decoders.get(coding)?.(body, maxBytes) ?? null
  } catch {
    return null
  }
}

/** Clients of one fleet send a handful of different fields. */
const remembered = new Map<string, ReadonlyMap<string, number>>()
const maxRemembered = 256

/** Whether the Accept-Encoding field asks for a coding. A request without the field is taken to ask for none. */
export function asksFor(acceptEncoding: string | null, coding: string): boolean {
  if (acceptEncoding === null) return false
  const weights = weightsOf(acceptEncoding)
  return (weights.get(coding) ?? weights.get('*') ?? 0) > 0
}

function weightsOf(acceptEncoding: string): ReadonlyMap<string, number> {
  const known = remembered.get(acceptEncoding)
  if (known !== undefined) return known
  const weights = new Map<string, number>()
  for (const member of listMembers(acceptEncoding.toLowerCase())) {
    const [name = '', ...parameters] = member.split(';').map((part) => part.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    weights.set(name, weight === undefined ? 1 : Number(weight.slice(2)) || 0)
  }
  const [oldest] = remembered.keys()
  if (remembered.size >= maxRemembered && oldest !== undefined) remembered.delete(oldest)
  if (acceptEncoding.length <= 256) remembered.set(acceptEncoding, weights)
  return weights
}
