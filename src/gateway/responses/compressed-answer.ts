// Inspects a compressed answer: decoded and searched for keys, and where it is clean handed on as it came.

import type { Transform } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { Decoder } from '../../http/content-coding.ts'
import type { LeakGuard, Scanner } from './leak-guard.ts'

export interface InspectedHead {
  /**
   * False: the bytes are the upstream's, and so are its fields. True: the coding is gone, so Content-Encoding, Accept-Ranges
   * and digests of the content have to go too, and a strong ETag has to become weak.
   */
  readonly identity: boolean
  /** Bytes to come, for Content-Length; null when that is not known yet (chunked). */
  readonly length: number | null
}

/**
 * The receiver of an inspected answer. Calls may come while `push` or `end` is running; none come after `abort` or
 * `onError`.
 */
export interface InspectionReceiver {
  /** Once, before the first byte or the end, and only when something could be decoded. */
  onHead(head: InspectedHead): void
  /** False asks for a pause until `resume`. An answer that was held comes in one piece, with the end right behind it. */
  onData(chunk: Buffer): boolean
  /** `found` keys were masked; more than none is an alarm. */
  onEnd(found: number): void
  /** The answer cannot be looked into: damaged, truncated, or with data after its end. */
  onError(error: Error): void
  /** False: decoding or the caller is behind, pause the upstream. True: it may go on. */
  onFlow(more: boolean): void
}

export interface InspectionLimits {
  /** Compressed bytes up to which an answer is held until it is complete. */
  readonly maxBufferedBytes: number
  /** Decoded bytes up to which it may then be handed on as it came. */
  readonly maxDecodedBytes: number
}

const defaultLimits: InspectionLimits = { maxBufferedBytes: 1024 * 1024, maxDecodedBytes: 1024 * 1024 }
/** Up to these sizes decoding on this thread takes about a millisecond, and less than the way to the thread pool and back. */
const maxSyncBytes = 64 * 1024
const maxSyncDecodedBytes = 256 * 1024

/**
 * Looks for keys in a compressed answer. One within the limits is held, decoded and searched: clean, its original bytes go on;
 * otherwise the masked bytes without coding. A larger one, a decompression bomb among them, is decoded, masked and handed on
 * as it comes; memory stays bounded as long as `onFlow` is heeded.
 */
export class Inspector {
  readonly #guard: LeakGuard
  readonly #decoders: readonly Decoder[]
  readonly #receiver: InspectionReceiver
  readonly #limits: InspectionLimits
  readonly #scanner: Scanner
  #held: Buffer[] = []
  #size = 0
  /** The decoders one behind the other, for an answer that is not held. */
  #streams: readonly Transform[] | null = null
  /** A key was found in bytes that no decoder shows. */
  #isHidden = false
  #begun = false
  #over = false

  /** `decoders` is what `decodersFor` gave; throws TypeError when empty. */
  constructor(
    guard: LeakGuard,
    decoders: readonly Decoder[],
    receiver: InspectionReceiver,
    limits: InspectionLimits = defaultLimits,
  ) {
    if (decoders.length === 0) throw new TypeError('Nothing to decode: an answer without coding needs a scanner only')
    this.#guard = guard
    this.#decoders = decoders
    this.#receiver = receiver
    this.#limits = limits
    this.#scanner = guard.createScanner()
  }

  /** Keys masked so far. */
  get found(): number {
    return this.#isHidden ? Math.max(this.#scanner.found, 1) : this.#scanner.found
  }

  push(chunk: Buffer): void {
    if (this.#over) return
    if (this.#streams === null) {
      this.#held.push(chunk)
      this.#size += chunk.length
      if (this.#size > this.#limits.maxBufferedBytes) this.#stream(this.#held)
    } else if (chunk.length > 0 && this.#streams[0]?.write(chunk) === false) this.#receiver.onFlow(false)
  }

  end(): void {
    if (this.#over) return
    if (this.#streams === null) this.#search(Buffer.concat(this.#held))
    else this.#streams[0]?.end()
  }

  resume(): void {
    this.#streams?.at(-1)?.resume()
  }

  /** Frees everything: the caller or the upstream is gone. */
  abort(): void {
    this.#over = true
    this.#held = []
    for (const stream of this.#streams ?? []) stream.destroy()
  }

  /** Decodes, masks and hands on what comes, at the pace of the slower of caller and decoder. */
  #stream(chunks: readonly Buffer[]): void {
    this.#held = []
    const streams = this.#decoders.map((decoder) => decoder.createStream())
    this.#streams = streams
    for (const [index, stream] of streams.entries()) {
      streams[index - 1]?.pipe(stream)
      stream.on('error', (error) => this.#fail(error))
    }
    const last = streams.at(-1)
    streams[0]?.on('drain', () => this.#receiver.onFlow(true))
    last?.on('data', (chunk: Buffer) => {
      if (!this.#pass(this.#scanner.push(chunk), true, null)) last.pause()
    })
    last?.on('end', () => this.#finish(this.#scanner.end(), true, null))
    for (const chunk of chunks) this.push(chunk)
  }

  #search(original: Buffer): void {
    this.#held = []
    // An empty body is not valid in any coding, but common.
    if (original.length === 0) {
      this.#finish(original, false, 0)
      return
    }
    const { maxDecodedBytes } = this.#limits
    if (original.length <= maxSyncBytes) {
      const layers = decodeLayersSync(this.#decoders, original, Math.min(maxDecodedBytes, maxSyncDecodedBytes))
      if (layers !== null) {
        this.#judge(original, layers)
        return
      }
    }
    void decodeLayers(this.#decoders, original, maxDecodedBytes).then((layers) => {
      if (this.#over) return
      if (layers !== null) void this.#judgeInTurns(original, layers)
      else {
        this.#stream([original])
        this.end()
      }
    })
  }

  /** A small answer at once. */
  #judge(original: Buffer, layers: readonly Buffer[] | Error): void {
    if (layers instanceof Error) {
      this.#fail(layers)
      return
    }
    this.#isHidden = outerLayers(original, layers).some((bytes) => this.#guard.maskBuffer(bytes) !== bytes)
    this.#conclude(original, [this.#scanner.push(layers.at(-1) ?? original)])
  }

  /** A larger one piece by piece, so that no turn of the event loop is long. */
  async #judgeInTurns(original: Buffer, layers: readonly Buffer[] | Error): Promise<void> {
    if (layers instanceof Error) {
      this.#fail(layers)
      return
    }
    for (const bytes of outerLayers(original, layers)) {
      const scanner = this.#guard.createScanner()
      await scanInTurns(scanner, bytes)
      scanner.end()
      if (scanner.found > 0) this.#isHidden = true
    }
    const parts = await scanInTurns(this.#scanner, layers.at(-1) ?? original)
    if (!this.#over) this.#conclude(original, parts)
  }

  #conclude(original: Buffer, parts: readonly (Buffer | null)[]): void {
    const masked = Buffer.concat([...parts, this.#scanner.end()].filter((part) => part !== null))
    if (this.found === 0) this.#finish(original, false, original.length)
    else this.#finish(masked, true, masked.length)
  }

  /** The head waits for the first decoded byte, so that an answer that cannot be decoded can still be refused. */
  #pass(bytes: Buffer | null, identity: boolean, length: number | null): boolean {
    if (this.#over || bytes === null) return true
    if (!this.#begun) this.#receiver.onHead({ identity, length })
    this.#begun = true
    return this.#over || bytes.length === 0 || this.#receiver.onData(bytes)
  }

  #finish(last: Buffer | null, identity: boolean, length: number | null): void {
    this.#pass(last ?? nothing, identity, length)
    if (this.#over) return
    this.#over = true
    this.#receiver.onEnd(this.found)
  }

  #fail(error: Error): void {
    if (this.#over) return
    this.abort()
    this.#receiver.onError(error)
  }
}

const nothing = Buffer.alloc(0)

/**
 * Codings have room for bytes that no decoder shows (a file name in gzip, skippable frames in zstd), so what lies above the
 * innermost layer is searched as well.
 */
function outerLayers(original: Buffer, layers: readonly Buffer[]): readonly Buffer[] {
  return [original, ...layers.slice(0, -1)]
}

const pieceBytes = 64 * 1024

async function scanInTurns(scanner: Scanner, bytes: Buffer): Promise<(Buffer | null)[]> {
  const parts: (Buffer | null)[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (at > 0) await setImmediate()
    parts.push(scanner.push(bytes.subarray(at, at + pieceBytes)))
  }
  return parts
}

type Layers = Buffer[] | Error | null

/** What each decoder in turn gives; null when it is more than `maxBytes`, an Error when it cannot be decoded. */
function decodeLayersSync(decoders: readonly Decoder[], bytes: Buffer, maxBytes: number): Layers {
  const layers: Buffer[] = []
  try {
    for (const decoder of decoders) layers.push(decoder.decodeSync(layers.at(-1) ?? bytes, maxBytes))
    return layers
  } catch (error) {
    return undecodable(error)
  }
}

/** The same on the thread pool; does not reject. */
async function decodeLayers(decoders: readonly Decoder[], bytes: Buffer, maxBytes: number): Promise<Layers> {
  const layers: Buffer[] = []
  try {
    for (const decoder of decoders) layers.push(await decoder.decode(layers.at(-1) ?? bytes, maxBytes))
    return layers
  } catch (error) {
    return undecodable(error)
  }
}

function undecodable(error: unknown): Error | null {
  if (!(error instanceof Error)) return new Error('Undecodable', { cause: error })
  return 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE' ? null : error
}
