// Finds our own service-user keys in answers of the upstream and masks them: as they are, escaped, in base64, and as numbers (leaks/).

import { createDictionary, type Dictionary } from './leaks/protected-values.ts'
import { maskKey, spelledKey } from './leaks/spelled-key.ts'
import { keyStart, suspects, suspectText, unfinishedBytes } from './leaks/suspects.ts'

const keyForm = /^cog_[A-Za-z0-9._~+/=-]+$/

/**
 * Creates a guard that protects nothing yet. What follows `cog_` is replaced by asterisks in the same spelling, and by as many
 * bytes, so that lengths, ranges and JSON stay valid. Where keys begin at the same byte the longest counts; where they overlap, the first.
 */
export function createLeakGuard(maxValues = 10_000) {
  // A Set keeps the order of insertion, which is the order of forgetting.
  const values = new Set<string>()
  let dictionary = createDictionary([])
  let stale = false

  // Sorting waits for the first search, so that a start with many keys sorts once.
  const current = (): Dictionary => {
    if (stale) dictionary = createDictionary([...values])
    stale = false
    return dictionary
  }

  return {
    /**
     * Protects one more key value. The value it replaces stays protected, since an upstream may still repeat it; of more than
     * 10,000 values the one protected longest ago is forgotten. Throws TypeError (without the value) for what is no key.
     */
    protect(value: string): void {
      if (!keyForm.test(value)) throw new TypeError('A protected value must be a service-user key (cog_…)')
      values.delete(value)
      values.add(value)
      const [oldest] = values
      if (values.size > maxValues && oldest !== undefined) values.delete(oldest)
      stale = true
    },
    /** The text with keys masked; the same string when it holds none. For header values. */
    maskText: (text: string): string => maskText(text, current()),
    /** A complete body with keys masked; the same buffer when it holds none. */
    maskBuffer(body: Buffer): Buffer {
      return mask(body, current(), true).bytes
    },
    createScanner: (): Scanner => createScanner(current),
  }
}

export type LeakGuard = ReturnType<typeof createLeakGuard>

/** Searches an answer that comes in chunks; one scanner per answer. */
function createScanner(current: () => Dictionary) {
  let held: Buffer | null = null
  let found = 0
  return {
    /**
     * What may be passed on now, keys masked; null when that is nothing. Held back is only a tail that may be the start of a
     * key, mostly none. Without a key or a held tail it is the chunk itself, not a copy; a chunk is never written to.
     */
    push(chunk: Buffer): Buffer | null {
      const data = held === null ? chunk : Buffer.concat([held, chunk])
      const result = mask(data, current(), false)
      found += result.found
      // A copy, so that a few bytes do not keep a whole chunk alive.
      held = result.decided === data.length ? null : Buffer.from(data.subarray(result.decided))
      if (result.decided === 0) return null
      return held === null ? result.bytes : result.bytes.subarray(0, result.decided)
    },
    /** The tail that was held back, now that nothing follows; null when there is none. */
    end(): Buffer | null {
      if (held === null) return null
      const result = mask(held, current(), true)
      held = null
      found += result.found
      return result.bytes
    },
    get found(): number {
      return found
    },
  }
}

export type Scanner = ReturnType<typeof createScanner>

interface Masked {
  /** The input itself when nothing was found. */
  readonly bytes: Buffer
  /** Bytes up to here are final; what follows may be the start of a key that goes on in the next chunk. */
  readonly decided: number
  readonly found: number
}

function mask(data: Buffer, dictionary: Dictionary, complete: boolean): Masked {
  let bytes = data
  let found = 0
  let from = 0
  const isUnfinished = (start: number): boolean => {
    if (start < from) return false
    const key = spelledKey(data, start, dictionary, complete)
    if (key === 'unfinished') return true
    if (key === null) return false
    // Copied once, at the first key: the incoming buffer may be shared.
    if (bytes === data) bytes = Buffer.from(data)
    maskKey(data, start, key, bytes)
    found += 1
    from = key.end
    return false
  }
  if (dictionary.size === 0) return { bytes, decided: data.length, found }
  for (
    let suspect = suspects.next(data, 0);
    suspect !== -1;
    suspect = suspects.next(data, Math.max(suspect + 1, from))
  ) {
    const start = keyStart(data, suspect)
    if (isUnfinished(start)) return { bytes, decided: start, found }
  }
  // What begins at the end may be too short to be suspect.
  for (
    let start = complete ? data.length : Math.max(from, data.length - unfinishedBytes);
    start < data.length;
    start += 1
  )
    if (isUnfinished(start)) return { bytes, decided: start, found }
  return { bytes, decided: data.length, found }
}

function maskText(text: string, dictionary: Dictionary): string {
  if (text.length < dictionary.shortest || !suspectText.test(text)) return text
  // In UTF-8 no byte of another character is like one of a spelled key.
  const { bytes, found } = mask(Buffer.from(text), dictionary, true)
  return found === 0 ? text : bytes.toString()
}
