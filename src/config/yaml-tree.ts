// The nodes of a YAML document → plain values, with the place of each. Used by config/yaml-document.ts.

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type Pair,
  type ParsedNode,
  type Range,
} from 'yaml'
import { expandVariables } from './variables.ts'
import { quoted } from './units.ts'

/** Offset into the text. */
export interface Place {
  readonly offset: number
}

export interface Found {
  readonly place: Place
  readonly message: string
}

/** What is known about the value at one path. */
export interface TreeNode {
  readonly value: unknown
  /** Where the value begins, or its key when the value begins on a later line or is empty. */
  readonly place: Place
  /** The key that holds the value; the value itself in a list. */
  readonly keyPlace: Place
  /** The scalar as written, when YAML read something else than a text. */
  readonly source: string | null
  /** The text before variables were put in, when there were any: only that may be shown. */
  readonly template: string | null
}

export interface Tree {
  readonly value: unknown
  readonly problems: readonly Found[]
  /** False when the value misses parts of the file, so that further checks would mislead. */
  readonly complete: boolean
  node(path: readonly PropertyKey[]): TreeNode | null
  nodes(): Iterable<readonly [path: string, node: TreeNode]>
  /** The place of the value at the path, or of the nearest value that holds it. */
  placeOf(path: readonly PropertyKey[]): Place
}

type Environment = Readonly<Record<string, string | undefined>>

export const tooDeep = 'the file is nested too deeply'
// Deeper than any file of ours; far below the depth at which a recursive reader would exhaust the stack.
const maxDepth = 64

/** Reads the whole tree. Refuses anchors and aliases, tags, and keys that are not texts; puts variables in when `env` is given. */
export function readTree(root: ParsedNode, lines: LineCounter, env: Environment | null): Tree {
  const nodes = new Map<string, TreeNode>()
  const problems: Found[] = []
  let complete = true
  const refuse = (node: Node | null, message: string): void => {
    problems.push({ place: start(node), message })
    complete = false
  }

  function read(node: Node | null, path: readonly PropertyKey[], key: Node | null): unknown {
    const place = key !== null && beginsLater(lines, key, node) ? start(key) : start(node)
    const keyPlace = key === null ? start(node) : start(key)
    const remember = (value: unknown, source: string | null = null, template: string | null = null) => {
      nodes.set(pathKey(path), { value, place, keyPlace, source, template })
      return value
    }
    if (path.length > maxDepth) return refuse(node, tooDeep)
    if (isAlias(node) || (node !== null && 'anchor' in node && node.anchor !== undefined)) {
      return refuse(node, 'anchors and aliases are not supported: write the value out')
    }
    if (node?.tag !== undefined && node.tag !== '')
      return refuse(
        node,
        `tags like ${node.tag.replace('tag:yaml.org,2002:', '!!')} are not supported: write the plain value, in quotes if it is a text`,
      )
    if (isMap(node)) return remember(readMap(node.items, path))
    if (isSeq(node)) return remember(node.items.map((item, index) => read(asNode(item), [...path, index], null)))
    if (!isScalar(node)) return remember(null, '')
    if (typeof node.value !== 'string') return remember(node.value, node.source ?? '')
    const expanded = env === null ? { value: node.value } : expandVariables(node.value, env)
    if ('error' in expanded) {
      problems.push({ place, message: expanded.error })
      return remember(node.value)
    }
    return remember(expanded.value, null, expanded.value === node.value ? null : node.value)
  }

  function readMap(pairs: readonly Pair[], path: readonly PropertyKey[]): Record<string, unknown> {
    // Without a prototype, so that no key can name anything inherited.
    const value: Record<string, unknown> = Object.create(null)
    for (const pair of pairs) {
      const key = asNode(pair.key)
      const name = keyName(key, refuse)
      if (name !== null) value[name] = read(asNode(pair.value), [...path, name], key)
    }
    return value
  }

  const value = read(root, [], null)
  return {
    value,
    problems,
    complete,
    node: (path) => nodes.get(pathKey(path)) ?? null,
    nodes: () => nodes,
    placeOf(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const found = nodes.get(pathKey(path.slice(0, length)))
        if (found !== undefined) return found.place
      }
      return start(root)
    },
  }
}

/** Paths as keys of a map: a JSON array of their parts. */
export function pathKey(path: readonly PropertyKey[]): string {
  return JSON.stringify(path.map((part) => (typeof part === 'symbol' ? String(part) : part)))
}

function keyName(key: Node | null, refuse: (node: Node | null, message: string) => void): string | null {
  if (!isScalar(key)) {
    refuse(key, 'a key must be a plain word')
    return null
  }
  const { value } = key
  if (typeof value !== 'string') {
    const written = key.source ?? ''
    refuse(
      key,
      written === '' ? 'a key is missing before ":"' : `the key ${written} is not a text for YAML: put it in quotes`,
    )
    return null
  }
  // Copying code of all kinds treats this name specially.
  if (value === '__proto__') {
    refuse(key, `the key ${quoted(value)} is not allowed`)
    return null
  }
  return value
}

/** Items and pairs of a parsed document hold nodes or null; the types of the library do not say so. */
function asNode(item: unknown): Node | null {
  // See above: every item of a parsed collection is a node.
  return item === undefined || item === null ? null : (item as Node)
}

function start(node: Node | null): Place {
  const range: Range | null | undefined = node?.range
  return { offset: range?.[0] ?? 0 }
}

function beginsLater(lines: LineCounter, key: Node, node: Node | null): boolean {
  const empty = node === null || (isScalar(node) && node.source === '' && node.value === null)
  return empty || lines.linePos(start(node).offset).line > lines.linePos(start(key).offset).line
}
