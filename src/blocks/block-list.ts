// The blocks in force, to be asked at every request: while there are none, one look at an empty map.

import { slotOf, type Block, type BlockKind } from './block.ts'

/** What a verified token says of its caller, as far as it can be blocked. */
export interface BlockableCaller {
  readonly subject: string
  readonly issuer: string
  readonly app: string | null
  readonly actor: string | null
  readonly priorActors: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
}

export class BlockList {
  readonly #now: () => number
  #blocks: ReadonlyMap<string, Block> = new Map()
  #teams: ReadonlyMap<string, Block> = new Map()

  /** `now`: milliseconds since the epoch, by the clock that blocks end by. */
  constructor(now: () => number) {
    this.#now = now
  }

  get all(): readonly Block[] {
    return [...this.#blocks.values()].filter((block) => !this.#isOver(block))
  }

  /** Blocked teams by their ids; another map when they change. */
  get teams(): ReadonlyMap<string, Block> {
    return this.#teams
  }

  get isEmpty(): boolean {
    return this.#blocks.size === 0
  }

  /** Puts other blocks in force. Returns those that were not in force before. */
  replace(blocks: ReadonlyMap<string, Block>): readonly Block[] {
    const before = this.#blocks
    this.#blocks = new Map([...blocks].filter(([, block]) => !this.#isOver(block)))
    const teams = [...this.#blocks.values()].filter(({ kind }) => kind === 'team')
    if (teams.length !== this.#teams.size || teams.some((block) => this.#teams.get(block.value) !== block))
      this.#teams = new Map(teams.map((block) => [block.value, block]))
    const wasInForce = (slot: string): boolean => {
      const block = before.get(slot)
      return block !== undefined && !this.#isOver(block)
    }
    return [...this.#blocks].flatMap(([slot, block]) => (wasInForce(slot) ? [] : [block]))
  }

  get(kind: BlockKind, value: string): Block | null {
    const block = this.#blocks.get(slotOf(kind, value))
    return block === undefined || this.#isOver(block) ? null : block
  }

  /** What blocks a caller, whatever it asks for: its token, issuer or app, or whoever takes part in it as a subject or an actor. */
  find(caller: BlockableCaller): Block | null {
    if (this.#blocks.size === 0) return null
    const { subject, issuer, app, actor, priorActors, claims } = caller
    const { jti } = claims
    return (
      this.get('subject', subject) ??
      (app === null ? null : this.get('app', app)) ??
      this.get('issuer', issuer) ??
      (typeof jti === 'string' ? this.get('jti', jti) : null) ??
      (actor === null ? null : this.get('subject', actor)) ??
      priorActors.map((each) => this.get('subject', each)).find((block) => block !== null) ??
      null
    )
  }

  #isOver({ untilMs }: Block): boolean {
    return untilMs !== null && this.#now() >= untilMs
  }
}
