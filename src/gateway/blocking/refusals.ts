// What blocked callers get.

import type { BlockList } from '../../blocks/block-list.ts'
import { callerBlocked } from '../../blocks/refusals.ts'
import type { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'

/** The blocks, as stages look at them. */
export interface Blocks {
  readonly list: BlockList
  /** Null where what is known is recent; else a promise to wait for before anybody is let through. */
  whenRecent(): Promise<void> | null
}

/** Why a request may not go on, as far as it is known who asks, and for which team; undefined when it may. */
export function refusalOfBlocked({ principal, evaluation }: RequestContext, list: BlockList): Problem | undefined {
  if (list.isEmpty || principal === null) return undefined
  const block = list.find(principal)
  if (block !== null) return callerBlocked(block)
  const team = evaluation?.decision.effect === 'allow' ? (evaluation.decision.team?.id ?? null) : null
  const ofTeam = team === null ? null : list.get('team', team)
  return ofTeam === null ? undefined : callerBlocked(ofTeam)
}

/** Looks again, for a request that has waited. A promise only where what is known is not recent. */
export function lookAgain(context: RequestContext, blocks: Blocks): Problem | undefined | Promise<Problem | undefined> {
  const waiting = blocks.whenRecent()
  return waiting === null
    ? refusalOfBlocked(context, blocks.list)
    : waiting.then(() => refusalOfBlocked(context, blocks.list))
}
