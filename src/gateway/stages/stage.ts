// A stage of the pipeline and how stages become a hook of Fastify's life cycle. A stage reads what earlier stages wrote into
// the context and writes its own fields; it refuses by returning or throwing a Problem. It waits only where it has to:
// nothing here makes a promise of a stage that returns at once.

import { channel } from 'node:diagnostics_channel'
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { asProblem, type Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import type { StageName } from './names.ts'

declare module 'fastify' {
  interface FastifyRequest {
    context: RequestContext
  }
}

export type StageResult = Problem | undefined

export interface Stage {
  readonly name: StageName
  readonly run: (context: RequestContext) => StageResult | Promise<StageResult>
}

/** Goes on with a value: at once where it is there. */
export function whenReady<T, R>(value: T | Promise<T>, goOn: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(goOn) : goOn(value)
}

/** Publishes which stage a request enters, for tests. */
export const stageChannel = channel('devin-gateway.stage')

export type StageHook = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

export function enterStage(context: RequestContext, stage: StageName): void {
  context.stage = stage
  context.trace?.enterStage(stage)
  if (stageChannel.hasSubscribers) stageChannel.publish({ context, stage })
}

/**
 * Stages in order as one hook. What one refuses goes to the error handler; when one has answered, or the caller has left, the
 * request is over.
 */
export function hookOf(...stages: readonly Stage[]): StageHook {
  return ({ context }, _reply, done) => {
    const goOn = (problem: StageResult): void => {
      if (problem !== undefined) done(problem)
      else if (context.isOpen) done()
    }
    const result = runFrom(0, stages, context)
    if (result instanceof Promise) result.then(goOn, (error: unknown) => goOn(asProblem(error)))
    else goOn(result)
  }
}

function runFrom(first: number, stages: readonly Stage[], context: RequestContext): StageResult | Promise<StageResult> {
  for (let index = first; context.isOpen; index += 1) {
    const stage = stages[index]
    if (stage === undefined) return undefined
    enterStage(context, stage.name)
    const result = stage.run(context)
    if (result instanceof Promise) return result.then((problem) => problem ?? runFrom(index + 1, stages, context))
    if (result !== undefined) return result
  }
  return undefined
}
