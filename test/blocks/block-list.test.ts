// The list of blocks in force: whom it finds, until which millisecond, and what is new when it is replaced.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BlockList, type BlockableCaller } from '../../src/blocks/block-list.ts'
import { blockKinds, slotOf, type Block, type BlockKind } from '../../src/blocks/block.ts'

let nowMs = 0
const list = (): BlockList => new BlockList(() => nowMs)

function block(kind: BlockKind, value: string, untilMs: number | null = null): Block {
  return { kind, value, reason: 'r', note: null, by: 'test', sinceMs: 0, untilMs }
}

function mapOf(...blocks: readonly Block[]): ReadonlyMap<string, Block> {
  return new Map(blocks.map((each) => [slotOf(each.kind, each.value), each]))
}

const ann: BlockableCaller = { subject: 'ann', issuer: 'i', app: null, actor: null, priorActors: [], claims: {} }

describe('who is found', () => {
  const value = fc.constantFrom('a', 'b', 'c', 'A', 'a b', '__proto__', 'constructor', '')
  const caller: fc.Arbitrary<BlockableCaller> = fc.record({
    subject: value,
    issuer: value,
    app: fc.option(value),
    actor: fc.option(value),
    priorActors: fc.array(value, { maxLength: 3 }),
    claims: fc.oneof(
      fc.constant({}),
      value.map((jti) => ({ jti })),
      fc.constantFrom({ jti: 7 }, { jti: ['a'] }, { jti: null }),
    ),
  })
  const untilMs = fc.option(fc.integer({ min: 0, max: 20 }))
  const blocks = fc.array(fc.tuple(fc.constantFrom(...blockKinds), value, untilMs), { maxLength: 8 })

  test('is whoever a block in force names by subject, app, issuer, token or actor, and nobody else', () => {
    fc.assert(
      fc.property(blocks, caller, fc.integer({ min: 0, max: 10 }), fc.nat(20), (given, who, madeAt, askedAt) => {
        nowMs = Math.min(madeAt, askedAt)
        const made = mapOf(...given.map((each) => block(...each)))
        const blocked = list()
        blocked.replace(made)
        nowMs = askedAt
        const names: readonly (readonly [BlockKind, unknown])[] = [
          ['subject', who.subject],
          ['issuer', who.issuer],
          ['app', who.app],
          ['jti', who.claims['jti']],
          ...[who.actor, ...who.priorActors].map((actor) => ['subject', actor] as const),
        ]
        const inForce = [...made.values()].filter((each) => each.untilMs === null || askedAt < each.untilMs)
        const wanted = inForce.filter(({ kind, value: named }) => names.some(([k, v]) => k === kind && v === named))
        const found = blocked.find(who)
        expect(found === null).toBe(wanted.length === 0)
        if (found !== null) expect(wanted).toContain(found)
        expect(new Set(blocked.all)).toEqual(new Set(inForce))
        for (const each of made.values())
          expect(blocked.get(each.kind, each.value)).toBe(inForce.includes(each) ? each : null)
      }),
    )
  })

  test('is nobody by a team or a key: those are looked at where they are chosen', () => {
    const blocked = list()
    blocked.replace(mapOf(block('team', 'ann'), block('key', 'ann')))
    expect(blocked.find(ann)).toBe(null)
    expect([...blocked.teams.keys()]).toEqual(['ann'])
    expect(blocked.get('key', 'ann')?.kind).toBe('key')
  })

  test('is nobody while there are no blocks', () => {
    const blocked = list()
    expect([blocked.isEmpty, blocked.find(ann), blocked.all, blocked.teams.size]).toEqual([true, null, [], 0])
  })
})

test('a block ends at its millisecond: the one before is blocked, that one is not', () => {
  nowMs = 1_000
  const blocked = list()
  blocked.replace(mapOf(block('subject', 'ann', 5_000), block('team', 't', 5_000)))
  nowMs = 4_999
  expect(blocked.find(ann)?.value).toBe('ann')
  expect(blocked.all).toHaveLength(2)
  nowMs = 5_000
  expect([blocked.find(ann), blocked.get('team', 't'), blocked.all]).toEqual([null, null, []])
  // Gone for good, also where the clock is put back.
  blocked.replace(mapOf(block('subject', 'ann', 5_000), block('team', 't', 5_000)))
  expect([blocked.isEmpty, blocked.teams.size]).toEqual([true, 0])
})

describe('when it is replaced', () => {
  test('those are new that were not in force: not an equal one, not a longer one, but one that had ended', () => {
    nowMs = 0
    const blocked = list()
    const first = block('subject', 'ann', 1_000)
    expect(blocked.replace(mapOf(first))).toEqual([first])
    expect(blocked.replace(mapOf(block('subject', 'ann', 1_000)))).toEqual([])
    const longer = block('subject', 'ann', 2_000)
    expect(blocked.replace(mapOf(longer))).toEqual([])
    nowMs = 1_999
    expect(blocked.find(ann)).toBe(longer)
    nowMs = 2_000
    const again = block('subject', 'ann', 3_000)
    const other = block('app', 'ann')
    expect(blocked.replace(mapOf(again, other))).toEqual([again, other])
    // What had ended before is not put in force.
    expect(blocked.replace(mapOf(other, block('issuer', 'i', 2_000)))).toEqual([])
    expect(blocked.all).toEqual([other])
    expect(blocked.replace(new Map())).toEqual([])
    expect(blocked.isEmpty).toBe(true)
  })

  test('the teams are another map only where teams have changed: decisions are remembered by it', () => {
    const blocked = list()
    const [one, two] = [block('team', 'one'), block('team', 'two')]
    blocked.replace(mapOf(one, two))
    const { teams } = blocked
    expect(teams.size).toBe(2)
    blocked.replace(mapOf(block('subject', 'ann'), one, two))
    expect(blocked.teams).toBe(teams)
    for (const next of [mapOf(one), mapOf(one, block('team', 'two')), mapOf(one, block('team', 'three')), new Map()]) {
      const before = blocked.teams
      blocked.replace(next)
      expect(blocked.teams).not.toBe(before)
      expect(new Set(blocked.teams.values())).toEqual(new Set(next.values()))
    }
  })
})
