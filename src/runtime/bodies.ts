// Builds the reader of request bodies and its memory.

import { createBodies, type Bodies } from '../gateway/bodies/collect.ts'
import { createBodyMemory, type BodyMemory } from '../gateway/bodies/memory.ts'
import type { Core } from './core.ts'

/** For all bodies together; and always for some that are as large as may be. */
const mostHeldBytes = 64 * 1024 * 1024
const mostHeldBodies = 4

export function openBodyMemory({ config }: Core): BodyMemory {
  return createBodyMemory(Math.max(mostHeldBytes, mostHeldBodies * config.bodies.maxJudgedBytes))
}

export function openBodies({ config, monotonic }: Core, memory: BodyMemory): Bodies {
  return createBodies({
    memory,
    maxJudgedBytes: config.bodies.maxJudgedBytes,
    bodyMs: config.listen.timeouts.bodyMs,
    monotonic,
  })
}
