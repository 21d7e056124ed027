// Finds our own service-user keys in answers of the upstream and masks them. Exact bytes only: an upstream that
// encodes a key (base64, percent, UTF-16) is beyond it.

/** The prefix of every key. Answers rarely hold it, so for most of them one native search is enough. */
const prefix = 'cog_'
const keyForm = /^cog_[A-Za-z0-9._~+/=-]+$/
const prefixBytes = Buffer.from(prefix)
const asterisk = 0x2a

/**
 * Creates a guard that protects nothing yet. A key is replaced by as many bytes, `cog_` and asterisks, so that lengths,
 * ranges and JSON stay valid. Where keys begin at the same byte the longest counts; where they overlap, the first.
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
  if (dictionary.size === 0) return { bytes, decided: data.length, found }
  for (let at = data.indexOf(prefixBytes); at !== -1; at = data.indexOf(prefixBytes, from)) {
    if (dictionary.isForeign(data, at + prefix.length)) {
      from = at + prefix.length
      continue
    }
    // Keys are ASCII and latin1 is one character per byte, so the dictionary can compare strings.
    const ahead = data.toString('latin1', at, at + dictionary.longest)
    if (!complete && dictionary.mayContinue(ahead)) return { bytes, decided: at, found }
    const length = dictionary.match(ahead)
    if (length > 0) {
      // Copied once, at the first key: the incoming buffer may be shared.
      if (bytes === data) bytes = Buffer.from(data)
      bytes.fill(asterisk, at + prefix.length, at + length)
      found += 1
    }
    from = at + Math.max(length, prefix.length)
  }
  return { bytes, decided: complete ? data.length : data.length - brokenPrefix(data, from), found }
}

/** How many bytes at the end, none of them before `from`, are the beginning of `cog_`. */
function brokenPrefix(data: Buffer, from: number): number {
  const end = data.length
  for (let length = Math.min(prefix.length - 1, end - from); length > 0; length -= 1) {
    if (data[end - length] === prefixBytes[0] && data.toString('latin1', end - length) === prefix.slice(0, length))
      return length
  }
  return 0
}

function maskText(text: string, dictionary: Dictionary): string {
  let masked = ''
  let from = 0
  for (let at = text.indexOf(prefix); at !== -1; at = text.indexOf(prefix, at + prefix.length)) {
    if (at < from) continue
    const length = dictionary.match(text.slice(at, at + dictionary.longest))
    if (length === 0) continue
    masked += text.slice(from, at) + prefix + '*'.repeat(length - prefix.length)
    from = at + length
  }
  return from === 0 ? text : masked + text.slice(from)
}

/** The protected values, sorted, so that a look-up is a binary search however many there are. */
function createDictionary(values: readonly string[]) {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : 1))
  // For each value the index of the longest other one that it begins with, or -1. In sorted order that one is the value
  // before, or one that the value before begins with.
  const shorter: number[] = []
  for (const value of sorted) shorter.push(ancestor(shorter.length - 1, value))

  function ancestor(start: number, text: string): number {
    let index = start
    while (index >= 0 && !text.startsWith(sorted[index] ?? '')) index = shorter[index] ?? -1
    return index
  }

  /** How many values are at most `text`. */
  function rank(text: string): number {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((sorted[middle] ?? '') <= text) low = middle + 1
      else high = middle
    }
    return low
  }

  // The four bytes behind the prefix, where every value is so long: they tell nearly everything from a value at once.
  const isLong = sorted.every(({ length }) => length >= 2 * prefix.length)
  const beginnings = new Set(isLong ? sorted.map((value) => Buffer.from(value).readUInt32BE(prefix.length)) : [])

  return {
    size: sorted.length,
    /** Whether no value goes on so behind its prefix; false where that takes a closer look. */
    isForeign: (data: Buffer, at: number): boolean =>
      isLong && at + prefix.length <= data.length && !beginnings.has(data.readUInt32BE(at)),
    longest: sorted.reduce((longest, value) => Math.max(longest, value.length), 0),
    /** Length of the longest value that `text` begins with, or 0. */
    match: (text: string): number => sorted[ancestor(rank(text) - 1, text)]?.length ?? 0,
    /** Whether a value begins with `text` and is longer. */
    mayContinue: (text: string): boolean => sorted[rank(text)]?.startsWith(text) ?? false,
  }
}

type Dictionary = ReturnType<typeof createDictionary>
