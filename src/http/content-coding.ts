// Content codings of answers (RFC 9110 section 8.4), and how they are undone.

import { Transform, type TransformCallback } from 'node:stream'
import * as zlib from 'node:zlib'

/** One content coding, ready to be undone. Damaged and truncated data, and anything after its end, are errors in each form. */
export interface Decoder {
  /** A complete body at once, on this thread. Throws; with `code` ERR_BUFFER_TOO_LARGE when it would exceed `maxBytes`. */
  decodeSync(bytes: Buffer, maxBytes: number): Buffer
  /** The same on the thread pool. */
  decode(bytes: Buffer, maxBytes: number): Promise<Buffer>
  createStream(): Transform
}

interface DecodeOptions {
  readonly info: true
  readonly maxOutputLength: number
  readonly params?: { [parameter: number]: number }
}

type DecodeSync = (bytes: Buffer, options: DecodeOptions) => Buffer
type Decode = (bytes: Buffer, options: DecodeOptions, done: (error: Error | null, result: Buffer) => void) => void

// zlib ignores data after the end of the stream, which would then not be inspected.
const strict = { rejectGarbageAfterEnd: true }
/** HTTP allows no window above 8 MiB (RFC 9659), and memory could not be bounded with one. */
const smallWindow = { params: { [zlib.constants.ZSTD_d_windowLogMax]: 23 } }

// Its stream is not strict: a second member (RFC 1952 section 2.2) would count as garbage. Garbage fails as a bad member;
// only padding with zeros passes, and is dropped.
const gzip = decoder(zlib.gunzipSync, zlib.gunzip, () => zlib.createGunzip())
const inflate = decoder(zlib.inflateSync, zlib.inflate, () => zlib.createInflate(strict))
const inflateRaw = decoder(zlib.inflateRawSync, zlib.inflateRaw, () => zlib.createInflateRaw(strict))
const brotli = decoder(zlib.brotliDecompressSync, zlib.brotliDecompress, () => zlib.createBrotliDecompress(strict))
const zstd = decoder(
  (bytes, options) => zlib.zstdDecompressSync(bytes, { ...options, ...smallWindow }),
  (bytes, options, done) => zlib.zstdDecompress(bytes, { ...options, ...smallWindow }, done),
  () => zlib.createZstdDecompress({ ...strict, ...smallWindow }),
)
const deflate: Decoder = {
  decodeSync: (bytes, maxBytes) => inflaterFor(bytes).decodeSync(bytes, maxBytes),
  decode: (bytes, maxBytes) => inflaterFor(bytes).decode(bytes, maxBytes),
  createStream: () => new DeflateStream(),
}

const decoders: ReadonlyMap<string, Decoder> = new Map([
  ['gzip', gzip],
  ['x-gzip', gzip],
  ['deflate', deflate],
  ['br', brotli],
  ['zstd', zstd],
])

/**
 * The decoders for a Content-Encoding field, in the order of undoing; empty for `identity`. Null when there is no looking
 * inside: an unknown coding, or more than two of them, which nobody sends in earnest.
 */
export function decodersFor(contentEncoding: string): readonly Decoder[] | null {
  const names = contentEncoding.split(',').map((name) => name.trim().toLowerCase())
  const found = names.filter((name) => name !== '' && name !== 'identity').map((name) => decoders.get(name))
  if (found.length > 2) return null
  const known = found.filter((decoder) => decoder !== undefined)
  return known.length === found.length ? known.toReversed() : null
}

/** True when the coding can be undone; `identity` counts as none. */
export function canDecode(coding: string): boolean {
  return decoders.has(coding)
}

/** The body without its coding; null when it is damaged, longer than `maxBytes`, or the coding is unknown. Blocks. */
export function decodeBody(coding: string, body: Buffer, maxBytes: number): Buffer | null {
  try {
    return decoders.get(coding)?.decodeSync(body, maxBytes) ?? null
  } catch {
    return null
  }
}

function decoder(decodeSync: DecodeSync, decode: Decode, createStream: () => Transform): Decoder {
  return {
    decodeSync: (bytes, maxBytes) => wholly(bytes, decodeSync(bytes, { info: true, maxOutputLength: maxBytes })),
    decode: async (bytes, maxBytes) => {
      const result = await new Promise<Buffer>((resolve, reject) => {
        const options: DecodeOptions = { info: true, maxOutputLength: maxBytes }
        decode(bytes, options, (error, decoded) => (error === null ? resolve(decoded) : reject(error)))
      })
      return wholly(bytes, result)
    },
    createStream,
  }
}

function wholly(bytes: Buffer, result: unknown): Buffer {
  // With `info` the result is this, which the types of zlib do not tell.
  const { buffer, engine } = result as { buffer: Buffer; engine: { bytesWritten: number } }
  if (engine.bytesWritten !== bytes.length) throw new Error('Data after the end of the compressed data')
  return buffer
}

/** `deflate` is the zlib format (RFC 1950), but some servers send it without the wrapper (RFC 1951). */
function inflaterFor(start: Buffer): Decoder {
  // Method 8 with a window of at most 32 KiB. Bare data begins so only with a stored block whose padding is not zero.
  return ((start[0] ?? 0) & 0x8f) === 0x08 ? inflate : inflateRaw
}

/** The stream for `deflate`, which cannot be chosen before the first byte is here. */
class DeflateStream extends Transform {
  #inner: Transform | null = null

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#inner ??= this.#open(chunk)
    this.#inner.write(chunk, (error) => done(error))
  }

  override _flush(done: TransformCallback): void {
    // Without a byte this is an inflater that fails for want of one.
    const inner = (this.#inner ??= this.#open(Buffer.alloc(0)))
    inner.once('end', () => done())
    inner.end()
  }

  override _read(size: number): void {
    this.#inner?.resume()
    super._read(size)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner?.destroy()
    done(error)
  }

  #open(start: Buffer): Transform {
    const inner = inflaterFor(start).createStream()
    inner.on('data', (decoded: Buffer) => {
      if (!this.push(decoded)) inner.pause()
    })
    inner.on('error', (error) => this.destroy(error))
    return inner
  }
}
