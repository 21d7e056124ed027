// Stages as one hook of Fastify's life cycle: their order, and what ends it.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { expect, test } from 'vitest'
import type { RequestContext } from '../../src/gateway/context.ts'
import { stageNames } from '../../src/gateway/stages/names.ts'
import { hookOf, type Stage } from '../../src/gateway/stages/stage.ts'
import { Problem } from '../../src/problems.ts'

interface Trip {
  readonly entered: string[]
  /** What Fastify was told: undefined to go on, else the refusal. Nothing when the request is over. */
  readonly told: unknown[]
  leave(): void
}

const refusal = new Problem('draining', 'This is refused.')

/** Runs stages that do nothing but what `runs` says, by their place. */
async function trip(runs: Readonly<Record<number, (trip: Trip) => ReturnType<Stage['run']>>>): Promise<Trip> {
  let isOpen = true
  const told: Trip = { entered: [], told: [], leave: () => (isOpen = false) }
  // The hook reads no more of a context than this.
  const context = {
    get isOpen() {
      return isOpen
    },
    stage: 'open',
  } as unknown as RequestContext
  const stages = stageNames.slice(0, 4).map((name, place): Stage => ({
    name,
    run: ({ stage }) => {
      told.entered.push(stage)
      return runs[place]?.(told)
    },
  }))
  const done = (problem?: unknown): void => void told.told.push(problem)
  hookOf(...stages)({ context } as FastifyRequest, {} as FastifyReply, done)
  for (let turns = 0; turns < 20; turns += 1) await Promise.resolve()
  return told
}

const [first, second, third, fourth] = stageNames

test('stages run in their order, also those behind one that waits', async () => {
  for (const runs of [{}, { 1: () => Promise.resolve(undefined), 2: () => Promise.resolve(undefined) }])
    expect(await trip(runs)).toMatchObject({ entered: [first, second, third, fourth], told: [undefined] })
})

test('a refusal ends the trip, whether it is returned, awaited or thrown behind a wait', async () => {
  expect(await trip({ 1: () => refusal })).toMatchObject({ entered: [first, second], told: [refusal] })
  expect(await trip({ 1: () => Promise.resolve(refusal) })).toMatchObject({
    entered: [first, second],
    told: [refusal],
  })
  expect(await trip({ 1: () => Promise.reject(refusal) })).toMatchObject({ entered: [first, second], told: [refusal] })
  const thrown = {
    0: () => Promise.resolve(undefined),
    1: () => {
      throw refusal
    },
  }
  expect(await trip(thrown)).toMatchObject({ entered: [first, second], told: [refusal] })
})

test('what a stage throws at once is left to Fastify, which has the error handler called', async () => {
  const thrown = {
    0: () => {
      throw refusal
    },
  }
  await expect(trip(thrown)).rejects.toBe(refusal)
})

test('no stage runs once the request is answered or its caller has left', async () => {
  const atOnce = {
    1: ({ leave }: Trip) => {
      leave()
      return undefined
    },
  }
  expect(await trip(atOnce)).toMatchObject({ entered: [first, second], told: [] })
  const meanwhile = {
    1: async ({ leave }: Trip) => {
      await Promise.resolve()
      leave()
      return undefined
    },
  }
  expect(await trip(meanwhile)).toMatchObject({ entered: [first, second], told: [] })
})
