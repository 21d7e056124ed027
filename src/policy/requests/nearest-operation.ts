// The operation that a path was probably meant to be. For explanations: it takes longer than a refusal may. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { nearest } from '../../config/nearest.ts'

/** Callers choose paths; longer ones have no nearest. */
const mostSegments = 12
const longestSegment = 64
/** What one missing or superfluous segment counts, and another method, beside mistakes in single letters. */
const segmentCost = 4
const methodCost = 1

/** The served operation whose path differs least from these segments; null when none is near. */
export function nearestOperation(catalogue: Catalogue, method: string, segments: readonly string[]): Operation | null {
  if (segments.length === 0 || segments.length > mostSegments || segments.some((each) => each.length > longestSegment))
    return null
  const comparison = new Comparison()
  let best: { readonly operation: Operation; readonly cost: number } | null = null
  for (const operation of catalogue.operations) {
    if (!catalogue.isServed(operation)) continue
    const path = comparison.pathCost(operation.segments, segments)
    if (path === null) continue
    const cost = path + (operation.method === method ? 0 : methodCost)
    if (best === null || cost < best.cost) best = { operation, cost }
  }
  return best?.operation ?? null
}

/** Compares one path with many, whose segments are mostly the same words. */
class Comparison {
  readonly #known = new Map<string, Map<string, number | null>>()

  /** What it takes to make the one path the other, with at most one segment more or less; null where that is too much. */
  pathCost(wanted: readonly string[], given: readonly string[]): number | null {
    const difference = given.length - wanted.length
    if (Math.abs(difference) > 1) return null
    if (difference === 0) return this.#alignedCost(wanted, given)
    const [longer, shorter] = difference > 0 ? [given, wanted] : [wanted, given]
    // The segment that is left out is the first one in which the two differ.
    const place = shorter.findIndex((segment, index) => this.#distance(segment, longer[index] ?? '') !== 0)
    const rest = longer.toSpliced(place === -1 ? shorter.length : place, 1)
    const cost = difference > 0 ? this.#alignedCost(wanted, rest) : this.#alignedCost(rest, given)
    return cost === null ? null : cost + segmentCost
  }

  #alignedCost(wanted: readonly string[], given: readonly string[]): number | null {
    let cost = 0
    let matching = 0
    for (const [index, segment] of wanted.entries()) {
      const distance = this.#distance(segment, given[index] ?? '')
      if (distance === null) return null
      cost += distance
      if (distance === 0 && !segment.startsWith('{')) matching += 1
    }
    // Parameters match whatever stands there; without a word in common nothing is near.
    return matching === 0 ? null : cost
  }

  #distance(wanted: string, given: string): number | null {
    if (wanted === given) return 0
    let ofWanted = this.#known.get(wanted)
    if (ofWanted === undefined) this.#known.set(wanted, (ofWanted = new Map()))
    const known = ofWanted.get(given)
    if (known !== undefined) return known
    const distance = segmentDistance(wanted, given)
    ofWanted.set(given, distance)
    return distance
  }
}

/** 0 where they match, 1 to 3 where one is probably the other misspelled, null where not. */
function segmentDistance(wanted: string, given: string): number | null {
  const isParameter = wanted.startsWith('{') || given.startsWith('{')
  if (isParameter) return 0
  if (wanted.toLowerCase() === given.toLowerCase()) return 1
  if (nearest(given, [wanted]) !== null) return 2
  return wanted.startsWith(given) || given.startsWith(wanted) ? 3 : null
}
