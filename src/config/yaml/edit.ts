// Changes lists and members of a YAML text in place: comments, order and everything else stay byte for byte. And says the change as a
// unified patch.

import { isMap, isScalar, isSeq, parseDocument, type Node, type YAMLMap, type YAMLSeq } from 'yaml'
import type { Path } from './document.ts'

/** A part of a text that is replaced. */
export interface TextEdit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A YAML text whose parts can be changed. Places are those of the text as it was given. */
export class YamlText {
  readonly #text: string
  readonly #root: Node | null
  /** As the file breaks its lines. */
  readonly #lineBreak: string

  constructor(text: string) {
    this.#text = text
    this.#lineBreak = /\r?\n/.exec(text)?.[0] ?? '\n'
    this.#root = parseDocument(text, { schema: 'core', merge: false, logLevel: 'error' }).contents
  }

  /** Keeps the items of a list for which `keeps` says so, and puts `added` behind them, as they are written in YAML. */
  changeList(path: Path, keeps: (index: number) => boolean, added: readonly string[] = []): readonly TextEdit[] {
    const list = this.#at(path)
    if (!isSeq(list)) throw new Error(`there is no list at ${path.join('.')}`)
    const items = list.items as Node[]
    if (items.every((_, index) => keeps(index)) && added.length === 0) return []
    if (list.flow === true || (added.length === 0 && !items.some((_, index) => keeps(index))))
      return [this.#flowList(list, keeps, added)]
    const edits = items.flatMap((item, index) => (keeps(index) ? [] : [{ ...this.#linesOf(item), text: '' }]))
    const last = items.at(-1)
    if (added.length === 0 || last === undefined) return edits
    const { start, end } = this.#linesOf(last)
    const indent = this.#text.slice(start, this.#text.indexOf('-', start))
    const lines = added.map((text) => `${indent}- ${text}${this.#lineBreak}`).join('')
    const isLastKept = keeps(items.length - 1)
    return [
      ...edits.filter((each) => each.start !== start),
      { start: isLastKept ? end : start, end, text: isLastKept ? `${this.#breakBefore(end)}${lines}` : lines },
    ]
  }

  /** Replaces the value at a path by a text in YAML. */
  replaceValue(path: Path, text: string): readonly TextEdit[] {
    const node = this.#at(path)
    if (node?.range === null || node?.range === undefined) throw new Error(`there is nothing at ${path.join('.')}`)
    return [{ start: node.range[0], end: endOf(node), text }]
  }

  /** Puts a member behind another one of the same mapping. */
  addMember(path: Path, behind: string, name: string, text: string): readonly TextEdit[] {
    const map = this.#at(path)
    if (!isMap(map)) throw new Error(`there is no mapping at ${path.join('.')}`)
    const pair = pairOf(map, behind)
    const value = pair?.value
    const key = pair?.key
    if (value === undefined || value === null || key?.range == null)
      throw new Error(`there is no ${behind} at ${path.join('.')}`)
    const end = endOf(value)
    if (map.flow === true) return [{ start: end, end, text: `, ${name}: ${text}` }]
    const lineEnd = this.#lineEnd(end)
    const column = key.range[0] - (this.#text.lastIndexOf('\n', key.range[0] - 1) + 1)
    const line = `${' '.repeat(column)}${name}: ${text}${this.#lineBreak}`
    return [{ start: lineEnd, end: lineEnd, text: `${this.#breakBefore(lineEnd)}${line}` }]
  }

  /** The value at a path; undefined where there is none. */
  valueAt(path: Path): unknown {
    return this.#at(path)?.toJSON() as unknown
  }

  /** The place of the item of a list whose member has this value; -1 where there is none. */
  indexOf(path: Path, member: string, value: string): number {
    const list = this.#at(path)
    return isSeq(list) ? list.items.findIndex((_, index) => this.valueAt([...path, index, member]) === value) : -1
  }

  #at(path: Path): Node | null {
    let node: Node | null = this.#root
    for (const step of path) {
      if (typeof step === 'number' && isSeq(node)) node = (node.items[step] as Node | undefined) ?? null
      else if (isMap(node)) node = pairOf(node, String(step))?.value ?? null
      else return null
    }
    return node
  }

  #flowList(list: YAMLSeq, keeps: (index: number) => boolean, added: readonly string[]): TextEdit {
    const items = list.items as Node[]
    const kept = items.flatMap((item, index) => (keeps(index) ? [this.#text.slice(item.range?.[0], endOf(item))] : []))
    const [start = 0] = list.range ?? []
    const flow = `[${[...kept, ...added].join(', ')}]`
    if (list.flow === true) return { start, end: list.range?.[1] ?? start, text: flow }
    // The list stood below its name.
    const from = this.#text.lastIndexOf(':', start) + 1
    return { start: from, end: endOf(list), text: ` ${flow}` }
  }

  /** The lines of an item of a block list, from its dash. Comments above it belong to nobody else and stay. */
  #linesOf(item: Node): { readonly start: number; readonly end: number } {
    const at = item.range?.[0] ?? 0
    let start = this.#text.lastIndexOf('\n', at - 1) + 1
    while (start > 0 && !this.#text.slice(start).trimStart().startsWith('-'))
      start = this.#text.lastIndexOf('\n', start - 2) + 1
    return { start, end: this.#lineEnd(endOf(item)) }
  }

  /** The break that the last line of a file may lack. */
  #breakBefore(place: number): string {
    return this.#text.slice(0, place).endsWith('\n') ? '' : this.#lineBreak
  }

  /** Behind the line break of the line that holds a place. */
  #lineEnd(place: number): number {
    const end = this.#text.indexOf('\n', place)
    return end === -1 ? this.#text.length : end + 1
  }
}

function pairOf(map: YAMLMap, name: string): { readonly key: Node; readonly value: Node | null } | undefined {
  const pairs = map.items as { readonly key: Node; readonly value: Node | null }[]
  return pairs.find(({ key }) => isScalar(key) && String(key.value) === name)
}

/** Where the last character of a node stands: block collections end with the lines behind them otherwise. */
function endOf(node: Node): number {
  if (isMap(node) && node.flow !== true) {
    const last = (node.items as { key: Node; value: Node | null }[]).at(-1)
    if (last !== undefined) return endOf(last.value ?? last.key)
  }
  if (isSeq(node) && node.flow !== true) {
    const last = (node.items as Node[]).at(-1)
    if (last !== undefined) return endOf(last)
  }
  const end = node.range?.[1] ?? 0
  return isScalar(node) && (node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED') ? end - 1 : end
}

/** The text with its edits, of which no two overlap. */
export function edited(text: string, edits: readonly TextEdit[]): string {
  let after = text
  for (const { start, end, text: put } of edits.toSorted((a, b) => b.start - a.start || b.end - a.end))
    after = after.slice(0, start) + put + after.slice(end)
  return after
}

const context = 3

interface Change {
  /** Lines that are replaced, the first counted from 0, the last one not included. */
  readonly from: number
  readonly to: number
  readonly lines: readonly string[]
}

/** The edits of one file as a unified patch; empty where they change nothing. */
export function unifiedPatch(name: string, text: string, edits: readonly TextEdit[]): string {
  const lines = linesOf(text)
  const changes = changesOf(text, edits).filter(
    ({ from, to, lines: put }) => lines.slice(from, to).join('') !== put.join(''),
  )
  if (changes.length === 0) return ''
  const hunks: Change[][] = []
  for (const change of changes) {
    const before = hunks.at(-1)
    if (before !== undefined && change.from - (before.at(-1)?.to ?? 0) <= 2 * context) before.push(change)
    else hunks.push([change])
  }
  let shift = 0
  const texts = hunks.map((hunk) => {
    const first = Math.max(0, (hunk[0]?.from ?? 0) - context)
    const last = Math.min(lines.length, (hunk.at(-1)?.to ?? 0) + context)
    const body: string[] = []
    let [at, removed, added] = [first, 0, 0]
    for (const { from, to, lines: put } of hunk) {
      body.push(...lines.slice(at, from).map((line) => ` ${line}`))
      body.push(...lines.slice(from, to).map((line) => `-${line}`), ...put.map((line) => `+${line}`))
      at = to
      removed += to - from
      added += put.length
    }
    body.push(...lines.slice(at, last).map((line) => ` ${line}`))
    const [before, after] = [last - first, last - first - removed + added]
    const head = `@@ -${before === 0 ? first : first + 1},${before} +${after === 0 ? first + shift : first + shift + 1},${after} @@\n`
    shift += added - removed
    return head + body.map((line) => (line.endsWith('\n') ? line : `${line}\n\\ No newline at end of file\n`)).join('')
  })
  // A tab ends a name with spaces.
  const named = name.includes(' ') ? `${name}\t` : name
  return `--- a/${named}\n+++ b/${named}\n${texts.join('')}`
}

function linesOf(text: string): readonly string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

/** Edits as whole lines; those that share a line are one change. */
function changesOf(text: string, edits: readonly TextEdit[]): readonly Change[] {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)]
  const lineOf = (place: number): number => starts.findLastIndex((start) => start <= place)
  const ordered = edits.toSorted((a, b) => a.start - b.start || a.end - b.end)
  const groups: { from: number; to: number; edits: TextEdit[] }[] = []
  for (const edit of ordered) {
    const from = lineOf(edit.start)
    // An edit that ends where a line begins leaves that line alone.
    const isLineEnd = starts.includes(edit.end) && edit.end > edit.start
    const isInsertion = edit.start === edit.end && starts.includes(edit.start) && edit.text.endsWith('\n')
    const to = isInsertion ? from : isLineEnd ? lineOf(edit.end) : lineOf(edit.end) + 1
    const before = groups.at(-1)
    if (before !== undefined && from < before.to) {
      before.to = Math.max(before.to, to)
      before.edits.push(edit)
    } else groups.push({ from, to, edits: [edit] })
  }
  return groups.map(({ from, to, edits: own }) => {
    const start = starts[from] ?? text.length
    const end = Math.max(starts[to] ?? text.length, start)
    const part = edited(
      text.slice(start, end),
      own.map((each) => ({ ...each, start: each.start - start, end: each.end - start })),
    )
    return { from, to, lines: linesOf(part) }
  })
}
