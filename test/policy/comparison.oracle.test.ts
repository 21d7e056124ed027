// The comparison of policy sets held against random whole requests between random pairs of sets.

import { expect, test } from 'vitest'
import { newProof, proveMirror, provePair } from './comparison-oracle.ts'

test('no request differs that the comparison does not report, and each reported one differs, in `explain` as well', () => {
  const proof = newProof()
  for (let seed = 1; seed <= 80; seed += 1) provePair(seed, 260, proof)
  expect(proof.requests).toBeGreaterThan(20_000)
  expect(proof.refused).toBe(0)
  // The proof means something only if every kind of difference came up.
  for (const [kind, least] of Object.entries({ gained: 50, lost: 50, key: 20, limit: 50 }))
    expect(proof.kinds[kind] ?? 0, kind).toBeGreaterThanOrEqual(least)
}, 60_000)

test('a comparison mirrors the one the other way round, and equal sets do not differ', () => {
  let changes = 0
  for (let seed = 1_001; seed <= 1_020; seed += 1) changes += proveMirror(seed)
  expect(changes).toBeGreaterThan(500)
})
