// Finds places where one of several sets of three bytes stands, sixteen places at a time: the Teddy algorithm of Hyperscan, in
// WebAssembly with SIMD, because a loop over each byte in JavaScript would take longer than all the rest of the answer.

/** The part of `WebAssembly` that is needed: Node.js leaves its types to those of browsers. */
interface WasmEngine {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer }
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> }
}

/** For each of the first three bytes, what it may be; null for anything. */
export type ByteTriple = readonly [string | null, string | null, string | null]

/** Each group of triples has one bit of a byte. */
const maxGroups = 8
const tableBytes = 6 * 16
const windowBytes = 64 * 1024
const laneBytes = 16

export interface ByteSearch {
  /**
   * The first place at or after `from` where three bytes may be those of a group; -1 for none. It never misses one, and names some that
   * are none: a byte is only told from others by its upper and its lower half.
   */
  next(data: Buffer, from: number): number
}

/**
 * Builds a search. One text is searched from its beginning to its end before another one is begun: the part that is being searched is kept.
 */
export function createByteSearch(groups: readonly ByteTriple[]): ByteSearch {
  if (groups.length > maxGroups) throw new TypeError('A search has eight groups at most')
  const { find, memory } = instantiate()
  const bytes = new Uint8Array(memory.buffer)
  writeTables(bytes, groups)
  const window = bytes.subarray(tableBytes, tableBytes + windowBytes)
  let searched: Buffer | null = null
  let start = 0
  let size = 0

  function load(data: Buffer, from: number): void {
    searched = data
    start = from
    size = Math.min(windowBytes, data.length - from)
    window.set(data.subarray(from, from + size))
  }

  return {
    next(data, from) {
      if (data !== searched || from < start || from === 0) load(data, from)
      for (let at = from; at + 2 < data.length;) {
        // The last two bytes of a window are also the first ones of the next.
        if (at - start + 2 >= size) load(data, at)
        const third = find(tableBytes + at - start, tableBytes + size) - tableBytes
        if (third >= 0 && third < size) return start + third - 2
        at = start + size - 2
      }
      searched = null
      return -1
    },
  }
}

/** Two tables for each of the three bytes: which groups allow it by its lower half, and by its upper half. */
function writeTables(memory: Uint8Array, groups: readonly ByteTriple[]): void {
  for (const [group, triple] of groups.entries()) {
    for (const [place, allowed] of triple.entries()) {
      for (let byte = 0; byte < 256; byte += 1) {
        if (allowed !== null && !allowed.includes(String.fromCharCode(byte))) continue
        for (const half of [byte & 15, 16 + (byte >> 4)]) {
          const index = place * 32 + half
          memory[index] = (memory[index] ?? 0) | (1 << group)
        }
      }
    }
  }
}

function instantiate() {
  const { Memory, Module, Instance } = (globalThis as unknown as { readonly WebAssembly: WasmEngine }).WebAssembly
  const memory = new Memory({ initial: 2 })
  const { exports } = new Instance(new Module(moduleBytes()), { '': { '': memory } })
  return { find: exports['find'] as (from: number, end: number) => number, memory }
}

/**
 * The module: `find(from: i32, end: i32): i32`, over a memory of two pages that begins with the six tables: the third byte of the first triple, or
 * -1. Opcodes are those of the WebAssembly Core Specification 3.0, section 5.4. The swizzle is the relaxed one, one instruction everywhere: no index is
 * above 15, so that it has one result only.
 */
function moduleBytes(): Uint8Array<ArrayBuffer> {
  const [from, end, firstTable, low, high, first, second, lastFirst, lastSecond, result, halves] = [
    0, 1, 2, 8, 9, 10, 11, 12, 13, 14, 15,
  ] as const
  const get = (local: number): number[] => [0x20, local]
  const set = (local: number): number[] => [0x21, local]
  const tee = (local: number): number[] => [0x22, local]
  const number = (value: number): number[] => [0x41, value]
  const vector = (byte: number): number[] => [0xfd, 12, ...Array<number>(laneBytes).fill(byte)]
  const load = (offset: number): number[] => [0xfd, 0, 0, ...leb128(offset)]
  const simd = (opcode: number): number[] => [0xfd, ...leb128(opcode)]
  const [swizzle, notEqual, and] = [simd(0x100), simd(36), simd(78)]
  const [anyTrue, bitmask, shiftRight] = [simd(83), simd(100), simd(141)]
  /** The lanes of `now` moved up by `count`, with the last ones of `before` below. */
  const moved = (before: number, now: number, count: number): number[] => [
    ...get(before),
    ...get(now),
    ...simd(13),
    ...Array.from({ length: laneBytes }, (_, lane) => laneBytes - count + lane),
  ]
  /** The groups that allow the byte of each lane at `place` of a triple. */
  const groupsAt = (place: number): number[] =>
    [
      [...get(firstTable + 2 * place), ...get(low), ...swizzle],
      [...get(firstTable + 2 * place + 1), ...get(high), ...swizzle],
      and,
    ].flat()
  const body = [
    [...vector(15), ...set(halves)],
    [0, 1, 2, 3, 4, 5].flatMap((table) => [...number(0), ...load(table * laneBytes), ...set(firstTable + table)]),
    [0x03, 0x40], // loop
    [...get(from), ...get(end), 0x4f, 0x04, 0x40, ...number(0x7f), 0x0f, 0x0b], // if from >= end (unsigned): return -1
    [...get(from), ...load(0), ...tee(low), ...number(4), ...shiftRight, ...get(halves), ...and, ...set(high)],
    [...get(low), ...get(halves), ...and, ...set(low)],
    [...groupsAt(0), ...set(first), ...groupsAt(1), ...set(second)],
    [...groupsAt(2), ...moved(lastSecond, second, 1), ...and, ...moved(lastFirst, first, 2), ...and, ...tee(result)],
    [...anyTrue, 0x04, 0x40], // if any lane has a group that allows all three
    [...get(from), ...get(result), ...vector(0), ...notEqual, ...bitmask, 0x68, 0x6a, 0x0f, 0x0b], // return from + the first such lane
    [...get(first), ...set(lastFirst), ...get(second), ...set(lastSecond)],
    [...get(from), ...number(laneBytes), 0x6a, ...set(from), 0x0c, 0], // from += 16, again
    [0x0b, 0x00, 0x0b], // end of the loop, never reached, end
  ].flat()
  const code = [1, 14, 0x7b, ...body] // locals: fourteen vectors
  const find = [...new TextEncoder().encode('find')]
  return Uint8Array.from(
    [
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]), // type: (i32, i32) -> i32
      section(2, [1, 0, 0, 0x02, 0, 2]), // import of a memory
      section(3, [1, 0]), // one function of that type
      section(7, [1, find.length, ...find, 0, 0]), // export
      section(10, [1, ...leb128(code.length), ...code]),
    ].flat(),
  )
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb128(content.length), ...content]
}

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)]
}
