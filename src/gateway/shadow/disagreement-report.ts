// What a shadow set has decided otherwise, by team, operation and kind of change, with a few examples of each. Bounded:
// callers choose paths and subjects, and none of that makes it grow.

import { shortened } from '../../config/plural.ts'
import type { DecisionChange, Disagreement } from '../../policy/comparison/disagreements.ts'
import type { DisagreementView, ExampleView } from '../../policy/comparison/shadow-counts.ts'
import { safeText } from '../../records/safe-text.ts'

/** The request that a disagreement is about. */
export interface ShadowedRequest {
  readonly atMs: number
  readonly decisionId: string
  readonly method: string
  /** Without its query, which can hold anything. */
  readonly path: string
  readonly operation: string
  readonly organization: string | null
  readonly subject: string
  readonly app: string | null
}

interface Group {
  readonly change: DecisionChange
  readonly team: string | null
  readonly operation: string
  readonly firstAtMs: number
  lastAtMs: number
  count: number
  /** By caller and path, so that one who repeats a request does not push the others out; the latest last. */
  readonly examples: Map<string, ExampleView>
}

export const mostGroups = 500
export const mostExamples = 3
const mostCharacters = 256

export class DisagreementReport {
  readonly #groups = new Map<string, Group>()
  /** Disagreements whose group found no room. */
  notShown = 0

  add(disagreement: Disagreement, request: ShadowedRequest): void {
    const { change, team } = disagreement
    const { operation, atMs } = request
    const key = JSON.stringify([change, team, operation])
    let group = this.#groups.get(key)
    if (group === undefined) {
      if (this.#groups.size >= mostGroups) {
        this.notShown += 1
        return
      }
      group = { change, team, operation, firstAtMs: atMs, lastAtMs: atMs, count: 0, examples: new Map() }
      this.#groups.set(key, group)
    }
    group.count += 1
    group.lastAtMs = atMs
    const example = exampleOf(disagreement, request)
    const likeness = JSON.stringify([example.subject, example.app, example.method, example.path])
    group.examples.delete(likeness)
    group.examples.set(likeness, example)
    if (group.examples.size <= mostExamples) return
    for (const oldest of group.examples.keys()) {
      group.examples.delete(oldest)
      break
    }
  }

  clear(): void {
    this.#groups.clear()
    this.notShown = 0
  }

  /** Rights that are gained first, since nobody asks for these; among equal ones the most frequent. */
  view(): readonly DisagreementView[] {
    return [...this.#groups.values()]
      .sort((a, b) => order.indexOf(a.change) - order.indexOf(b.change) || b.count - a.count)
      .map(({ change, team, operation, count, firstAtMs, lastAtMs, examples }) => ({
        change,
        team,
        operation,
        count,
        first_at: new Date(firstAtMs).toISOString(),
        last_at: new Date(lastAtMs).toISOString(),
        examples: [...examples.values()].reverse(),
      }))
  }
}

const order: readonly DecisionChange[] = ['gained', 'lost', 'key', 'guardrail', 'filter']

function exampleOf({ from, to, isFinal }: Disagreement, request: ShadowedRequest): ExampleView {
  const { atMs, decisionId, method, path, organization, subject, app } = request
  return {
    at: new Date(atMs).toISOString(),
    decision_id: decisionId,
    method,
    path: bounded(path),
    organization: organization === null ? null : bounded(organization),
    subject: bounded(subject),
    app: app === null ? null : bounded(app),
    from: bounded(from),
    to: bounded(to),
    final: isFinal,
  }
}

/** Cut off after masking: half a secret would not be recognised. */
function bounded(text: string): string {
  return shortened(safeText(text.slice(0, 2 * mostCharacters)), mostCharacters)
}
