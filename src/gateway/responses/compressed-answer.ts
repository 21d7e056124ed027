// The inspection of a compressed answer on its way to the caller: decoded and searched for keys, and where it is clean
// handed on as it came.

import type { Transform } from 'node:stream'
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

export interface Inspector {
  push(chunk: Buffer): void
  end(): void
  resume(): void
  /** Frees everything: the caller or the upstream is gone. */
  abort(): void
  readonly found: number
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
 * as it comes; memory stays bounded as long as `onFlow` is heeded. `decoders` is what `decodersFor` gave; throws TypeError when empty.
 */
export function inspectCompressed(
  guard: LeakGuard,
  decoders: readonly Decoder[],
  receiver: InspectionReceiver,
  limits: InspectionLimits = defaultLimits,
): Inspector {
  if (decoders.length === 0) throw new TypeError('Nothing to decode: an answer without coding needs a scanner only')
  return new HeldInspector(guard, decoders, receiver, limits)
}

/** Holds an answer; hands over to a streaming inspector when it grows too large. */
class HeldInspector implements Inspector {
  readonly #guard: LeakGuard
  readonly #decoders: readonly Decoder[]
  readonly #receiver: InspectionReceiver
  readonly #limits: InspectionLimits
  #held: Buffer[] = []
  #size = 0
  #streaming: Inspector | null = null
  #found = 0
  #over = false

  constructor(guard: LeakGuard, decoders: readonly Decoder[], receiver: InspectionReceiver, limits: InspectionLimits) {
    this.#guard = guard
    this.#decoders = decoders
    this.#receiver = receiver
    this.#limits = limits
  }

  get found(): number {
    return this.#streaming?.found ?? this.#found
  }

  push(chunk: Buffer): void {
    if (this.#over) return
    if (this.#streaming !== null) {
      this.#streaming.push(chunk)
      return
    }
    this.#held.push(chunk)
    this.#size += chunk.length
    if (this.#size > this.#limits.maxBufferedBytes) this.#stream(this.#held)
  }

  end(): void {
    if (this.#over) return
    if (this.#streaming !== null) this.#streaming.end()
    else this.#search(Buffer.concat(this.#held))
  }

  resume(): void {
    this.#streaming?.resume()
  }

  abort(): void {
    this.#over = true
    this.#held = []
    this.#streaming?.abort()
  }

  #stream(chunks: readonly Buffer[]): Inspector {
    const streaming = new StreamingInspector(this.#guard, this.#decoders, this.#receiver)
    this.#streaming = streaming
    this.#held = []
    for (const chunk of chunks) streaming.push(chunk)
    return streaming
  }

  #search(original: Buffer): void {
    this.#held = []
    // An empty body is not valid in any coding, but common.
    if (original.length === 0) {
      this.#finish(original, false)
      return
    }
    const { maxDecodedBytes } = this.#limits
    if (original.length <= maxSyncBytes) {
      const layers = decodeLayersSync(this.#decoders, original, Math.min(maxDecodedBytes, maxSyncDecodedBytes))
      if (layers instanceof Error) this.#fail(layers)
      else if (layers !== null) this.#judge(original, layers)
      if (layers !== null) return
    }
    void decodeLayers(this.#decoders, original, maxDecodedBytes).then((layers) => {
      if (layers instanceof Error) this.#fail(layers)
      else if (layers !== null) this.#judge(original, layers)
      else if (!this.#over) this.#stream([original]).end()
    })
  }

  #judge(original: Buffer, layers: readonly Buffer[]): void {
    if (this.#over) return
    // Codings have room for bytes that no decoder shows (a file name in gzip, skippable frames in zstd), so what lies above
    // the innermost layer is searched as well.
    const outer = [original, ...layers.slice(0, -1)]
    const hidden = outer.some((bytes) => this.#guard.maskBuffer(bytes) !== bytes)
    const decoded = layers.at(-1) ?? original
    const scanner = this.#guard.createScanner()
    const masked = [scanner.push(decoded), scanner.end()].filter((part) => part !== null)
    this.#found = hidden ? Math.max(scanner.found, 1) : scanner.found
    if (this.#found === 0) this.#finish(original, false)
    else this.#finish(Buffer.concat(masked), true)
  }

  #finish(bytes: Buffer, identity: boolean): void {
    this.#receiver.onHead({ identity, length: bytes.length })
    if (!this.#over && bytes.length > 0) this.#receiver.onData(bytes)
    if (this.#over) return
    this.#over = true
    this.#receiver.onEnd(this.#found)
  }

  #fail(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#receiver.onError(error)
  }
}

/** Decodes, masks and hands on as the answer comes, at the pace of the slower of caller and decoder. */
class StreamingInspector implements Inspector {
  readonly #scanner: Scanner
  readonly #receiver: InspectionReceiver
  readonly #stages: readonly Transform[]
  #begun = false
  #over = false

  constructor(guard: LeakGuard, decoders: readonly Decoder[], receiver: InspectionReceiver) {
    this.#scanner = guard.createScanner()
    this.#receiver = receiver
    this.#stages = decoders.map((decoder) => decoder.createStream())
    for (const [index, stage] of this.#stages.entries()) {
      this.#stages[index - 1]?.pipe(stage)
      stage.on('error', (error) => this.#fail(error))
    }
    this.#stages.at(0)?.on('drain', () => receiver.onFlow(true))
    this.#stages.at(-1)?.on('data', (chunk: Buffer) => this.#pass(this.#scanner.push(chunk)))
    this.#stages.at(-1)?.on('end', () => this.#end())
  }

  get found(): number {
    return this.#scanner.found
  }

  push(chunk: Buffer): void {
    if (this.#over || chunk.length === 0) return
    if (this.#stages[0]?.write(chunk) === false) this.#receiver.onFlow(false)
  }

  end(): void {
    if (!this.#over) this.#stages[0]?.end()
  }

  resume(): void {
    this.#stages.at(-1)?.resume()
  }

  abort(): void {
    this.#over = true
    for (const stage of this.#stages) stage.destroy()
  }

  #pass(chunk: Buffer | null): void {
    if (this.#over || chunk === null) return
    this.#begin()
    if (!this.#over && !this.#receiver.onData(chunk)) this.#stages.at(-1)?.pause()
  }

  /** The head waits for the first decoded byte, so that an answer that cannot be decoded can still be refused. */
  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#receiver.onHead({ identity: true, length: null })
  }

  #end(): void {
    this.#pass(this.#scanner.end())
    this.#begin()
    if (this.#over) return
    this.#over = true
    this.#receiver.onEnd(this.#scanner.found)
  }

  #fail(error: Error): void {
    if (this.#over) return
    this.abort()
    this.#receiver.onError(error)
  }
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
