// Holds `diff` against random whole requests between random pairs of policy sets, as test/policy/comparison.oracle.test.ts does, for
// as many as wanted: `node bench/diff-proof.ts [FIRST_SEED] [PAIRS] [REQUESTS]`. Ends with 1 when a pair is not as reported.

import { newProof, provePair } from '../test/policy/comparison-oracle.ts'

const [first = 1, pairs = 5_000, requests = 200] = process.argv.slice(2).map(Number)
const proof = newProof()
let failed = 0
for (let seed = first; seed < first + pairs; seed += 1) {
  try {
    provePair(seed, requests, proof)
  } catch (error) {
    failed += 1
    console.error(error instanceof Error ? error.message : String(error))
  }
}
console.log(JSON.stringify({ ...proof, failed }))
process.exitCode = failed === 0 ? 0 : 1
