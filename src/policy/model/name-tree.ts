// The names of a JSON document that count, level by level, and the first name in a document that could be taken for one of
// them and is not spelled as it is. Pure.

import { foldName, foldedHolders, hasSteps } from '../../catalogue/name-folding.ts'
import { isJsonObject, type StrictJson } from '../../json/value.ts'

/** The names that count at one level. */
export interface NameTree {
  /** What counts below each of them, by exact spelling. */
  readonly below: ReadonlyMap<string, NameTree>
  /** Exact spelling by folded spelling. */
  readonly folded: ReadonlyMap<string, string>
  /** Length of the longest folded spelling. */
  readonly longest: number
  /** What counts in each item or member, whatever its name; null: nothing. */
  readonly each: NameTree | null
}

/** A name that is not spelled as the one it could be taken for. */
export interface Misspelling {
  readonly spelled: string
  readonly name: string
  /** Dotted path to the object that holds it; empty for the document itself. */
  readonly holder: string
}

/** The tree of dotted paths, in which `*` stands for every item or member. */
export function nameTree(paths: readonly string[]): NameTree {
  return treeOf(paths.map((path) => path.split('.')))
}

function treeOf(paths: readonly (readonly string[])[]): NameTree {
  const heads = [...new Set(paths.flatMap(([head]) => head ?? []))]
  const behind = (head: string): NameTree =>
    treeOf(paths.flatMap(([first, ...rest]) => (first === head && rest.length > 0 ? [rest] : [])))
  const names = heads.filter((head) => head !== '*')
  const folded = new Map(names.map((name) => [foldName(name), name]))
  return {
    below: new Map(names.map((name) => [name, behind(name)])),
    folded,
    longest: Math.max(0, ...[...folded.keys()].map(({ length }) => length)),
    each: heads.includes('*') ? behind('*') : null,
  }
}

/**
 * Characters of names that are looked at in one document: callers choose how many there are, and beyond them a name is taken for
 * a misspelling. In a name that is not all ASCII they take much longer to tell apart, in one of several steps twice as long, and
 * each counts so many times.
 */
const mostCharacters = 262_144
const oddWeight = 16
const stepsWeight = 2

/** The first misspelling in a document; null when there is none. */
export function misspelledIn(value: StrictJson, tree: NameTree): Misspelling | null {
  return new Search().find(value, tree, '')
}

class Search {
  #characters = 0

  find(value: StrictJson, tree: NameTree, holder: string): Misspelling | null {
    if (tree.each === null && tree.below.size === 0) return null
    if (Array.isArray(value)) return tree.each === null ? null : this.#inItems(value, tree.each, holder)
    if (!isJsonObject(value)) return null
    for (const name in value) {
      const known = tree.below.get(name)
      const meant = known === undefined && tree.below.size > 0 ? this.#meant(name, tree) : undefined
      if (meant !== undefined) return { spelled: name, name: meant, holder }
      if (known === undefined && tree.each === null) continue
      const member = value[name] ?? null
      const place = holder === '' ? name : `${holder}.${name}`
      const found =
        (known === undefined ? null : this.find(member, known, place)) ??
        (tree.each === null ? null : this.find(member, tree.each, place))
      if (found !== null) return found
    }
    return null
  }

  #inItems(items: readonly StrictJson[], tree: NameTree, holder: string): Misspelling | null {
    for (const [index, item] of items.entries()) {
      const found = this.find(item, tree, `${holder}.${index}`)
      if (found !== null) return found
    }
    return null
  }

  /** The name that another one could be taken for. */
  #meant(name: string, { folded, longest }: NameTree): string | undefined {
    this.#characters += name.length * (odd.test(name) ? oddWeight : hasSteps(name) ? stepsWeight : 1)
    if (this.#characters > mostCharacters) return folded.values().next().value
    const meant = folded.get(foldName(name, longest))
    if (meant !== undefined) return meant
    for (const holder of foldedHolders(name, longest)) {
      const held = folded.get(holder)
      if (held !== undefined) return held
    }
    return undefined
  }
}

const odd = /[\u0080-\uffff]/
