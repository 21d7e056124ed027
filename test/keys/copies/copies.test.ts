// Copies of keys: hours of recorded traffic against an audit log that is late, lacks lines, repeats them and mixes them up.

import { describe, expect, test } from 'vitest'
import { operationsByAction } from '../../../src/keys/copies/actions.ts'
import { CopyWatch, graceMs } from '../../../src/keys/copies/copy-watch.ts'
import { foreignLines, type AuditLine, type OwnUse } from '../../../src/keys/copies/foreign-uses.ts'
import { catalogue } from '../../support/policies.ts'

const actions = operationsByAction(catalogue.operations)
const minute = 60_000
/** Printed in the name of a failing test. */
const firstSeed = Number(process.env['GATEWAY_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const startMs = Date.UTC(2026, 10, 1)

describe('an action of the audit log', () => {
  test.each([
    ['create_session', 'org.sessions.create'],
    ['terminate_session', 'org.sessions.terminate'],
    ['create_knowledge', 'org.knowledge.notes.create'],
    ['edit_knowledge', 'org.knowledge.notes.replace'],
    ['delete_secret', 'org.secrets.delete'],
    ['create_schedule', 'org.schedules.create'],
    ['delete_org', 'ent.organizations.delete'],
  ])('%s is left by %s', (action, operation) => {
    expect([...(actions.get(action) ?? [])]).toContain(operation)
  })

  test.each(['login', 'sleep_session', 'create_folder', 'accept_skill_pr', 'list_session'])(
    '%s is not known, so it is not judged',
    (action) => {
      expect(actions.has(action)).toBe(false)
    },
  )
})

/** A generator of its own, so that a seed gives the same traffic everywhere (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const kinds = [
  ['org.sessions.create', 'create_session'],
  ['org.sessions.terminate', 'terminate_session'],
  ['org.knowledge.notes.create', 'create_knowledge'],
  ['org.secrets.create', 'create_secret'],
  ['org.sessions.messages.send', 'send_message'],
] as const

/** Twelve hours of two instances' writes, and what Devin logs of them; `planted`: uses of a copy. */
function traffic(seed: number) {
  const random = randomOf(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const uses: { use: OwnUse; knownAtMs: number }[] = []
  const lines: { line: AuditLine; seenAtMs: number }[] = []
  const planted = new Set<string>()
  const log = (line: AuditLine): void => {
    const isLate = random() < 0.05
    lines.push({ line, seenAtMs: line.atMs + (isLate ? random() * 180 * minute : random() * minute) })
    if (random() < 0.05) lines.push({ line, seenAtMs: line.atMs + random() * 60 * minute })
  }
  // Devin's clock is off by so much.
  const offMs = (random() - 0.5) * 100_000
  for (let count = 0; count < 1500; count += 1) {
    const fromMs = startMs + 5 * minute + random() * 12 * 60 * minute
    const durationMs = random() < 0.02 ? random() * 10 * minute : random() * 3000
    const [operation, action] = pick(kinds)
    const organization = pick(['org-a', 'org-b'])
    const use = {
      id: `u${count}`,
      key: pick(['one', 'two']),
      operation,
      organization,
      fromMs,
      toMs: fromMs + durationMs,
    }
    // Another instance tells its writes with a delay.
    uses.push({ use, knownAtMs: use.toMs + random() * 2 * minute })
    const atMs = Math.floor((fromMs + durationMs * random() + offMs) / 1000) * 1000
    const isFailed = random() < 0.1
    if (!isFailed)
      log({ id: `l${count}`, serviceUser: 'service-user-1', action, organization, atMs, address: null, session: null })
    // Others' lines say nothing of our keys.
    if (random() < 0.3)
      log({
        id: `x${count}`,
        serviceUser: 'service-user-9',
        action,
        organization: 'org-a',
        atMs,
        address: null,
        session: null,
      })
  }
  for (let count = 0; count < 12; count += 1) {
    const id = `planted${count}`
    planted.add(id)
    const atMs = Math.floor((startMs + 30 * minute + random() * 11 * 60 * minute) / 1000) * 1000
    // What the gateway never does, or where it never does it.
    const [action, organization] = pick([
      ['delete_secret', 'org-a'],
      ['create_session', 'org-z'],
      ['create_playbook', 'org-b'],
    ] as const)
    log({ id, serviceUser: 'service-user-1', action, organization, atMs, address: '203.0.113.7', session: null })
  }
  return { uses, lines, planted }
}

describe('hours of traffic', () => {
  test.each(Array.from({ length: 8 }, (_, index) => firstSeed + index))(
    'with seed %i raise no false alarm, and every planted use is found',
    (seed) => {
      const { uses, lines, planted } = traffic(seed)
      const watch = new CopyWatch(actions, startMs)
      const keys = [
        { id: 'one', serviceUser: 'service-user-1' },
        { id: 'two', serviceUser: 'service-user-1' },
        { id: 'other', serviceUser: 'service-user-2' },
      ]
      const found: string[] = []
      for (let nowMs = startMs; nowMs < startMs + 17 * 60 * minute; nowMs += 5 * minute) {
        const isNew = (atMs: number): boolean => atMs > nowMs - 5 * minute && atMs <= nowMs
        for (const { use, knownAtMs } of uses) if (isNew(knownAtMs)) watch.addUse(use)
        for (const { line, seenAtMs } of lines) if (isNew(seenAtMs)) watch.addLine(line)
        for (const [key, line] of watch.judge(keys, new Set(['one', 'other']), nowMs)) {
          expect([key, line.address]).toEqual(['one', '203.0.113.7'])
          found.push(line.id)
        }
      }
      expect(found.toSorted()).toEqual([...planted].toSorted())
    },
  )
})

describe('the same kind of use at the same place and time', () => {
  const use = (fromMs: number, changes: Partial<OwnUse> = {}): OwnUse => ({
    id: `u${fromMs}`,
    key: 'one',
    operation: 'org.sessions.create',
    organization: 'org-a',
    fromMs,
    toMs: fromMs + 1000,
    ...changes,
  })
  const line = (atMs: number, changes: Partial<AuditLine> = {}): AuditLine => ({
    id: `l${atMs}`,
    serviceUser: 's',
    action: 'create_session',
    organization: 'org-a',
    atMs,
    address: null,
    session: null,
    ...changes,
  })

  test('is found by the count: one use explains one line', () => {
    expect(foreignLines([line(startMs), line(startMs + 1000)], [use(startMs)], actions).map(({ id }) => id)).toEqual([
      `l${startMs + 1000}`,
    ])
  })

  test('explains as many lines as can be explained', () => {
    // The first use alone reaches the first line; taking it for the second one would leave the first unexplained.
    const uses = [use(startMs), use(startMs + 3 * minute)]
    expect(foreignLines([line(startMs + 100_000), line(startMs)], uses, actions)).toEqual([])
    const crossed = [use(startMs, { toMs: startMs + 10 * minute }), use(startMs + minute)]
    expect(foreignLines([line(startMs + 9 * minute), line(startMs + minute)], crossed, actions)).toEqual([])
  })

  test.each([
    ['another operation', { action: 'delete_secret' }, true],
    ['another organization', { organization: 'org-b' }, true],
    ['no organization', { organization: null }, false],
    ['another time', { atMs: startMs + 10 * minute }, true],
    ['within the difference of clocks', { atMs: startMs - 100_000 }, false],
    ['an action that is not known', { action: 'login', atMs: startMs + 10 * minute }, false],
  ])('%s', (_name, changes, isForeign) => {
    expect(foreignLines([line(startMs, changes)], [use(startMs)], actions)).toHaveLength(isForeign ? 1 : 0)
  })

  test('is not judged before the start, before its grace is over, or of keys that nobody watches', () => {
    const watch = new CopyWatch(actions, startMs)
    watch.addLine(line(startMs - minute))
    watch.addLine(line(startMs + 10 * minute))
    const keys = [{ id: 'one', serviceUser: 's' }]
    const judge = (nowMs: number, watched = ['one']): string[] =>
      watch.judge(keys, new Set(watched), nowMs).map(([, { id }]) => id)
    expect(judge(startMs + 12 * minute)).toEqual([])
    expect(judge(startMs + 60 * minute, [])).toEqual([])
    expect(judge(startMs + 10 * minute + graceMs)).toEqual([`l${startMs + 10 * minute}`])
    expect(judge(startMs + 60 * minute)).toEqual([])
  })
})
