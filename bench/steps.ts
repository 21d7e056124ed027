// How long the gateway holds the event loop at a time, with the worst that callers and the upstream may send, without sockets.
// node bench/steps.ts [TEXT]: only what has this in its name. The first time is that of a process that has done nothing like it yet.

import { answers } from './steps/answers.ts'
import { judgedBodies } from './steps/bodies.ts'
import { requests } from './steps/requests.ts'
import type { Step } from './steps/step.ts'
import { quantile } from './statistics.ts'

const [only = ''] = process.argv.slice(2)
const rounds = 15

/** Milliseconds of the longest turn. */
async function longestTurn({ run }: Step): Promise<number> {
  let longestMs = 0
  await run((work) => {
    const startedMs = performance.now()
    const result = work()
    longestMs = Math.max(longestMs, performance.now() - startedMs)
    return result
  })
  return longestMs
}

console.log(`${'longest turn'.padEnd(52)}${['first', 'median', 'best'].map((name) => name.padStart(12)).join('')}`)
for (const step of [...requests, ...judgedBodies, ...answers]) {
  if (!step.name.includes(only)) continue
  const first = await longestTurn(step)
  const others: number[] = []
  for (let round = 1; round < rounds; round += 1) others.push(await longestTurn(step))
  const cells = [first, quantile(Float64Array.from(others), 0.5), Math.min(...others)]
  console.log(`${step.name.padEnd(52)}${cells.map((ms) => `${ms.toFixed(1)} ms`.padStart(12)).join('')}`)
}
process.exit(0)
