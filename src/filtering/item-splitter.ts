// Cuts the JSON of a list into its items as it arrives, so that a list of any length takes the memory of one item.

import type { StrictJson } from '../json/value.ts'
import { parseStrictJson } from '../json/strict-parser.ts'
import { UnknownShape } from './unknown-shape.ts'

export interface SplitReceiver {
  /** One item of the list as it came; it has an end, and is not checked further. */
  item(bytes: Buffer): void
  member(name: string, value: StrictJson): void
}

const maxItemBytes = 1024 * 1024
/** Of each member of a page besides its items. */
const maxMemberBytes = 64 * 1024
const maxMembers = 64

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a]
const [openBracket, closeBracket, openBrace, closeBrace] = [0x5b, 0x5d, 0x7b, 0x7d]

/** What may come next between two values. */
type Expected =
  | 'start'
  | 'name'
  | 'first-name'
  | 'colon'
  | 'value'
  | 'member-end'
  | 'item'
  | 'first-item'
  | 'item-end'
  | 'nothing'
type Role = 'name' | 'member' | 'item'

export class ItemSplitter {
  /** Member that holds the items; null: the document is the list itself. */
  readonly #items: string | null
  readonly #receiver: SplitReceiver
  readonly #names = new Set<string>()
  #expected: Expected = 'start'
  #name = ''
  // The value that is being read; null between values.
  #role: Role | null = null
  #held: Buffer[] = []
  #heldBytes = 0
  #depth = 0
  #inString = false
  #escaped = false

  constructor(items: string | null, receiver: SplitReceiver) {
    this.#items = items
    this.#receiver = receiver
  }

  /** The next bytes. Throws UnknownShape when it is not such a list. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#role !== null) at = this.#read(chunk, at)
      else {
        const byte = chunk[at] ?? 0
        if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) at += 1
        else if (this.#step(byte)) at += 1
      }
    }
  }

  /** Nothing follows. Throws UnknownShape when the document is not complete. */
  end(): void {
    if (this.#expected !== 'nothing' || this.#role !== null) throw new UnknownShape('it is not complete')
    if (this.#items !== null && !this.#names.has(this.#items)) throw new UnknownShape('its list is missing')
  }

  /** Takes one byte between values. False when it begins a value, which is then read from this byte on. */
  #step(byte: number): boolean {
    switch (this.#expected) {
      case 'start':
        if (byte !== (this.#items === null ? openBracket : openBrace)) break
        this.#expected = this.#items === null ? 'first-item' : 'first-name'
        return true
      case 'first-name':
        if (byte === closeBrace) return this.#expect('nothing')
        if (byte === quote) return this.#open('name', byte)
        break
      case 'name':
        if (byte === quote) return this.#open('name', byte)
        break
      case 'colon':
        if (byte === colon) return this.#expect('value')
        break
      case 'value':
        if (this.#name !== this.#items) return this.#open('member', byte)
        if (byte === openBracket) return this.#expect('first-item')
        break
      case 'first-item':
        return byte === closeBracket ? this.#closeList() : this.#open('item', byte)
      case 'item':
        return this.#open('item', byte)
      case 'item-end':
        if (byte === comma) return this.#expect('item')
        if (byte === closeBracket) return this.#closeList()
        break
      case 'member-end':
        if (byte === comma) return this.#expect('name')
        if (byte === closeBrace) return this.#expect('nothing')
        break
      case 'nothing':
        break
    }
    throw new UnknownShape('it is not the JSON of a list')
  }

  #expect(next: Expected): true {
    this.#expected = next
    return true
  }

  #closeList(): true {
    return this.#expect(this.#items === null ? 'nothing' : 'member-end')
  }

  #open(role: Role, byte: number): false {
    if (byte === comma || byte === colon || byte === closeBracket || byte === closeBrace)
      throw new UnknownShape('it is not the JSON of a list')
    this.#role = role
    this.#depth = 0
    this.#inString = this.#escaped = false
    return false
  }

  /** Reads on in a value; gives the index behind what it took. */
  #read(chunk: Buffer, from: number): number {
    // The first byte of a value was looked at, and not taken, by #step.
    const first = this.#heldBytes === 0 ? from : -1
    let depth = this.#depth
    let inString = this.#inString
    let at = from
    if (this.#escaped) at += 1
    this.#escaped = false
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0
      if (inString) {
        if (byte === backslash) at += 1
        else if (byte === quote) {
          inString = false
          if (depth === 0) return this.#close(chunk, from, at + 1)
        }
      } else if (byte === quote) {
        if (depth === 0 && at !== first) return this.#close(chunk, from, at)
        inString = true
      } else if (byte === openBrace || byte === openBracket) {
        if (depth === 0 && at !== first) return this.#close(chunk, from, at)
        depth += 1
      } else if (byte === closeBrace || byte === closeBracket) {
        if (depth === 0) return this.#close(chunk, from, at)
        depth -= 1
        if (depth === 0) return this.#close(chunk, from, at + 1)
      } else if (depth === 0 && (byte === comma || byte === colon || byte <= 0x20)) {
        return this.#close(chunk, from, at)
      }
    }
    // What follows a backslash at the end of the chunk is in the next one.
    this.#escaped = at > chunk.length
    this.#depth = depth
    this.#inString = inString
    this.#hold(chunk.subarray(from))
    return chunk.length
  }

  #hold(bytes: Buffer): void {
    this.#heldBytes += bytes.length
    if (this.#heldBytes > (this.#role === 'item' ? maxItemBytes : maxMemberBytes))
      throw new UnknownShape(this.#role === 'item' ? 'an item is too large' : 'a member beside its list is too large')
    this.#held.push(bytes)
  }

  #close(chunk: Buffer, from: number, end: number): number {
    this.#hold(chunk.subarray(from, end))
    const bytes = this.#held.length === 1 ? (this.#held[0] ?? chunk) : Buffer.concat(this.#held)
    const role = this.#role
    this.#held = []
    this.#heldBytes = 0
    this.#role = null
    if (role === 'item') {
      this.#expected = 'item-end'
      this.#receiver.item(bytes)
    } else if (role === 'name') this.#named(parsed(bytes))
    else {
      this.#expected = 'member-end'
      this.#receiver.member(this.#name, parsed(bytes))
    }
    return end
  }

  #named(name: StrictJson): void {
    // Two members of one name: two readers could see two lists.
    if (typeof name !== 'string' || this.#names.has(name) || this.#names.size >= maxMembers)
      throw new UnknownShape('its members are repeated or too many')
    this.#names.add(name)
    this.#name = name
    this.#expected = 'colon'
  }
}

/** Throws an UnknownShape that does not repeat the text, which may belong to another organization. */
export function parsed(bytes: Buffer): StrictJson {
  try {
    return parseStrictJson(bytes)
  } catch (error) {
    throw new UnknownShape('it is not strict JSON', error)
  }
}
