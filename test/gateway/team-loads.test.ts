import { array, assert, integer, nat, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TeamLoads, type TeamLoad } from '../../src/gateway/load/team-loads.ts'

interface Made {
  readonly weight: number
  readonly recent: number
  readonly inFlight: number
}

function loadsOf(teams: readonly Made[]): { loads: TeamLoads; each: readonly TeamLoad[]; beyond: readonly boolean[] } {
  const loads = new TeamLoads()
  const each = teams.map(({ weight, recent, inFlight }, index) => {
    const load = loads.begin(`team-${index}`, weight, recent)
    load.inFlight += inFlight
    return load
  })
  return { loads, each, beyond: each.map((load) => loads.exceedsShare(load)) }
}
const perWeight = ({ weight, recent, inFlight }: Made): number => (recent + inFlight) / weight
const made = record({
  weight: integer({ min: 1, max: 16 }),
  recent: integer({ min: 9, max: 1000 }),
  inFlight: nat({ max: 1000 }),
})
const some = array(made, { minLength: 1, maxLength: 30 })

describe('of any teams', () => {
  test('none exceeds its share while one that makes more for its weight does not', () => {
    assert(
      property(some, (teams) => {
        const { beyond } = loadsOf(teams)
        const least = Math.min(...teams.filter((_, index) => beyond[index]).map(perWeight))
        teams.forEach((team, index) => expect(beyond[index]).toBe(perWeight(team) >= least))
      }),
    )
  })

  test('one at least is within its share, also when it is the only one', () => {
    assert(
      property(some, (teams) => {
        expect(loadsOf(teams).beyond).toContain(false)
      }),
    )
  })

  test('one that makes most of the load exceeds its share, whatever the others do and however many they are', () => {
    assert(
      property(some, (others) => {
        const most = others.reduce((sum, team) => sum + team.recent + team.inFlight, 0)
        const weight = Math.min(...others.map((other) => other.weight))
        expect(loadsOf([...others, { weight, recent: 3 * most, inFlight: 0 }]).beyond).toEqual([
          ...others.map(() => false),
          true,
        ])
      }),
    )
  })

  test('none exceeds its share when all make about the same for their weight', () => {
    const even = array(record({ weight: integer({ min: 1, max: 16 }), wavers: integer({ min: 90, max: 110 }) }), {
      minLength: 1,
      maxLength: 30,
    })
    assert(
      property(even, (teams) => {
        const { beyond } = loadsOf(
          teams.map(({ weight, wavers }) => ({ weight, recent: weight * wavers, inFlight: 0 })),
        )
        expect(beyond).not.toContain(true)
      }),
    )
  })
})

test('beside a team that makes far more, a team that is busier than most does not exceed its share', () => {
  const idle = Array.from({ length: 20 }, () => ({ weight: 2, recent: 1, inFlight: 0 }))
  const { beyond } = loadsOf([...idle, { weight: 2, recent: 10, inFlight: 0 }, { weight: 2, recent: 100, inFlight: 0 }])
  expect(beyond).toEqual([...idle.map(() => false), false, true])
})

test('a team with few requests does not exceed its share, whatever its weight', () => {
  const { beyond } = loadsOf([1, 16, 16].map((weight) => ({ weight, recent: 7, inFlight: 1 })))
  expect(beyond).toEqual([false, false, false])
})

test('what was begun is forgotten, what is under way is not', () => {
  const { loads, each } = loadsOf([
    { weight: 2, recent: 1, inFlight: 1 },
    { weight: 2, recent: 1000, inFlight: 0 },
  ])
  const [slow, quick] = each as [TeamLoad, TeamLoad]
  expect(loads.exceedsShare(quick)).toBe(true)
  for (let count = 0; count < 20; count++) loads.age()
  expect([slow.inFlight, slow.recent, quick.recent]).toEqual([1, 0, 0])
  // The quick one is no longer among the teams, and the other has nobody beside it.
  expect([loads.exceedsShare(slow), loads.exceedsShare(quick)]).toEqual([false, false])
  slow.leave()
  expect(slow.inFlight).toBe(0)
})
