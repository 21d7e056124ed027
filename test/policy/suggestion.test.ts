// The proof of a suggestion where changes depend on each other.

import { expect, test } from 'vitest'
import type { PolicyChange } from '../../src/policy/suggestion/changes.ts'
import { provenChanges, type Trial } from '../../src/policy/suggestion/proof.ts'

const file = '/policies/keys.yaml'
const text = 'list: [small, large, needed]\n'
const removal = (what: string, place: number): PolicyChange => ({
  what,
  file,
  lists: [{ path: ['list'], removes: [place], adds: [] }],
})

test('a change that holds only beside a later one is proposed, and what never holds is kept', async () => {
  const wanted = [removal('needed', 2), removal('small', 0), removal('large', 1)]
  // Without the small one the large one would serve, which a test forbids; without both a third one does.
  const trial: Trial = async (texts) => {
    const left = texts.get(file) ?? text
    const breaks = !left.includes('needed') || (left.includes('large') && !left.includes('small'))
    return breaks ? null : 0
  }
  const none = { teams: [] } as unknown as Parameters<typeof provenChanges>[0]
  const { changes, kept } = await provenChanges(none, wanted, null, () => text, trial)
  expect(changes.map(({ what }) => what)).toEqual(['large', 'small'])
  expect(kept).toEqual(['needed'])
})
