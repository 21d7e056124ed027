// A stage of the pipeline and how it becomes a hook of Fastify's life cycle. A stage reads what earlier stages wrote into
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

/** Publishes which stage a request enters, for tests and tracing. */
export const stageChannel = channel('devin-gateway.stage')

export type StageHook = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

export function enterStage(context: RequestContext, stage: StageName): void {
  context.stage = stage
  if (stageChannel.hasSubscribers) stageChannel.publish({ context, stage })
}

/** The stage as a hook. What it refuses goes to the error handler; when it has answered, or the caller has left, the request is over. */
export function hookOf({ name, run }: Stage): StageHook {
  return ({ context }, _reply, done) => {
    enterStage(context, name)
    const result = run(context)
    if (result === undefined) {
      if (context.isOpen) done()
    } else if (result instanceof Promise)
      result.then(
        (settled) => goOn(context, settled, done),
        (error: unknown) => goOn(context, asProblem(error), done),
      )
    else done(result)
  }
}

function goOn(context: RequestContext, problem: StageResult, done: HookHandlerDoneFunction): void {
  if (problem !== undefined) done(problem)
  else if (context.isOpen) done()
}
