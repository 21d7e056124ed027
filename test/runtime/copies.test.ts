// Keys that are used elsewhere: what the watch reads, remembers and tells. The audit log and the clock are the test's.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { KeyIdentityStatus } from '../../src/keys/identity/identity-watch.ts'
import { createKeyring } from '../../src/keys/keyring.ts'
import type { AccessEntry } from '../../src/records/entries.ts'
import type { OwnUse } from '../../src/keys/copies/foreign-uses.ts'
import { openCopies, type Copies } from '../../src/runtime/keys/copies.ts'
import { SharedUses } from '../../src/runtime/keys/shared-uses.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { catalogue, policyFrom } from '../support/policies.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

const minute = 60_000
const keys = (watch: boolean): string => `keys:
  - { id: runner, scope: organization, organization: org-a, permissions: [ManageOrgSessions], watch: ${watch}, secret: { env: K } }
  - { id: twin, scope: organization, organization: org-a, permissions: [ManageOrgSessions], secret: { env: L } }
`
const team = `team: web
members: [{ groups: [web] }]
organizations: [org-a]
grants: [{ id: run, allow: [org.sessions.create] }]
`

type Line = Readonly<Record<string, unknown>>

interface Instance {
  readonly copies: Copies
  readonly told: string[]
  readonly logged: string[]
}

let lines: Line[]
let origin: string | null
let queries: string[]
let canRead: boolean
const open: Copies[] = []

function line(id: string, atMs: number, changes: Line = {}): Line {
  return {
    audit_log_id: id,
    action: 'create_session',
    created_at: Math.floor(atMs / 1000),
    org_id: 'org-a',
    service_user_id: 'service-user-1',
    data: { ip_address: '203.0.113.7' },
    ...changes,
  }
}

async function instance(options: { watch?: boolean; store?: Store; isAlone?: boolean } = {}): Promise<Instance> {
  const policy = policyFrom({ 'teams/web.yaml': team, 'keys.yaml': keys(options.watch ?? true) })
  const sources = { env: { K: 'cog_one', L: 'cog_two' }, origin: 'https://devin.test' }
  const keyring = createKeyring({ sources, now: Date.now, monotonic: Date.now, onChange: () => {} })
  const { resolveSecrets } = await import('../../src/keys/reading.ts')
  keyring.adopt(policy.keys, await resolveSecrets(policy.keys, sources))
  const [told, logged]: [string[], string[]] = [[], []]
  const log = (about: { event: string }, text: string): void => void logged.push(`${about.event}: ${text}`)
  const copies = openCopies(
    {
      catalogue,
      keyring,
      now: Date.now,
      policies: { current: policy },
      instruments: { keyUsedElsewhere: (key: string) => void told.push(key) },
      log: { warn: log, error: log },
      sinks: { audit: (event: string) => Promise.resolve(event !== '') },
    } as unknown as Parameters<typeof openCopies>[0],
    { statusOf: () => ({ identity: { serviceUser: 'service-user-1' } }) as unknown as KeyIdentityStatus } as never,
    {
      read: (id: string, _parameters: unknown, query: readonly (readonly [string, string])[] = []) => {
        queries.push(`${id} ${new URLSearchParams([...query] as [string, string][]).toString()}`)
        if (!canRead) return Promise.resolve(null)
        if (id !== 'ent.audit-logs.list') return Promise.resolve(origin === null ? null : { value: { origin } })
        const after = query.find(([name]) => name === 'after')?.[1] ?? '0'
        const from = Number(query.find(([name]) => name === 'time_after')?.[1])
        const all = lines.filter(({ created_at: at }) => Number(at) >= from)
        const next = Number(after) + 2
        const items = all.slice(Number(after), next)
        return Promise.resolve({ value: { items, has_next_page: next < all.length, end_cursor: String(next) } })
      },
    } as never,
    options.store ?? null,
    options.isAlone ?? true,
  )
  open.push(copies)
  copies.look()
  return { copies, told, logged }
}

/** A write through the gateway that has just ended. */
function write({ copies }: Instance, changes: Partial<AccessEntry> = {}): void {
  const entry = {
    time: new Date().toISOString(),
    decision_id: crypto.randomUUID(),
    method: 'POST',
    operation: 'org.sessions.create',
    organization: 'org-a',
    key: 'runner',
    duration_ms: 200,
    upstream_ms: 150,
    ...changes,
  } as AccessEntry
  copies.noting({ access: (_entry: AccessEntry) => null }).access(entry)
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] })
  ;[lines, queries, origin, canRead] = [[], [], null, true]
})
afterEach(() => {
  for (const copies of open.splice(0)) copies.close()
  vi.useRealTimers()
})

async function pass(minutes: number): Promise<void> {
  for (let count = 0; count < minutes; count += 1) {
    await vi.advanceTimersByTimeAsync(minute)
    for (let turns = 0; turns < 10; turns += 1) await new Promise(setImmediate)
  }
}

describe('a watched key', () => {
  test('that is used elsewhere is told once, with time and address', async () => {
    const one = await instance()
    await pass(10)
    write(one)
    const ours = Date.now()
    await pass(5)
    const theirs = Date.now()
    lines = [line('ours', ours), line('theirs', theirs), line('person', ours, { service_user_id: null })]
    await pass(40)
    expect(one.told).toEqual(['runner'])
    const at = new Date(Math.floor(theirs / 1000) * 1000).toISOString()
    expect(one.logged).toEqual([
      `key-used-elsewhere: key "runner" was used elsewhere: create_session in org-a at ${at} from 203.0.113.7. Revoke it at Devin and rotate, unless somebody used it on purpose.`,
    ])
    expect(one.copies.usesOf('runner')).toMatchObject([{ audit_log_id: 'theirs', address: '203.0.113.7' }])
    expect(one.copies.notes).toEqual([expect.stringContaining('was used elsewhere')])
    expect(one.copies.usesOf('twin')).toBeNull()
    await pass(24 * 60)
    expect([one.told.length, one.copies.notes]).toEqual([1, []])
  })

  test.each([
    ['a write by another key of the same service user', { key: 'twin' }, []],
    ['a write whose caller has left', { status: null, upstream_status: null }, []],
    ['a write that was not sent', { upstream_ms: null }, ['runner']],
    ['a read', { method: 'GET' }, ['runner']],
  ] satisfies [string, Partial<AccessEntry>, string[]][])(
    'is explained, or not, by %s',
    async (_name, changes, told) => {
      const one = await instance()
      await pass(10)
      write(one, changes)
      lines = [line('a', Date.now())]
      await pass(30)
      expect(one.told).toEqual(told)
    },
  )

  test.each([
    ['scheduled', []],
    ['api', ['runner']],
  ])('is not blamed for a session whose origin is not the API (%s)', async (from, told) => {
    const one = await instance()
    await pass(10)
    origin = from
    lines = [line('a', Date.now(), { data: { session_id: 'devin-1' } })]
    await pass(30)
    expect(one.told).toEqual(told)
  })

  test('that nobody can watch is told, and found when the log can be read again', async () => {
    const one = await instance()
    await pass(10)
    canRead = false
    lines = [line('a', Date.now())]
    await pass(60)
    expect([one.told, one.logged.length]).toEqual([[], 1])
    expect(one.copies.notes).toEqual([expect.stringContaining('keys are not watched: the audit log')])
    canRead = true
    await pass(2)
    expect([one.told, one.copies.notes.length]).toEqual([['runner'], 1])
  })

  test('is watched on where a day of the log is longer than one reading; what is too long for any is told once', async () => {
    const one = await instance()
    await pass(10)
    const others = Array.from({ length: 250 }, (_, count) => line(`p${count}`, Date.now(), { service_user_id: null }))
    lines = others
    await pass(60)
    expect(one.logged).toEqual([expect.stringContaining('has more than 20000 lines in two hours')])
    expect(one.copies.notes).toEqual([expect.stringContaining('keys are not watched: ')])
    await pass(90)
    expect(one.copies.notes).toEqual([])
    lines = [...others, line('theirs', Date.now())]
    // The whole day, which is read every hour, is too long all the same.
    await pass(100)
    expect([one.told, one.logged.length]).toEqual([['runner'], 2])
  })

  test('of a fresh enterprise, whose log is empty, is watched, and nothing is told', async () => {
    const one = await instance()
    await pass(120)
    expect([one.told, one.logged, one.copies.notes, queries.length > 100]).toEqual([[], [], [], true])
    lines = [line('theirs', Date.now())]
    await pass(20)
    expect(one.told).toEqual(['runner'])
  })

  test('is not judged among workers that do not know of each other', async () => {
    const one = await instance({ isAlone: false })
    lines = [line('a', Date.now() + 5 * minute)]
    await pass(60)
    expect([one.told, queries]).toEqual([[], []])
    expect(one.copies.notes).toEqual([expect.stringContaining('needs a shared store')])
  })
})

test('without a watched key nothing is read', async () => {
  const one = await instance({ watch: false })
  await pass(30)
  expect([queries, one.copies.usesOf('runner'), one.copies.notes]).toEqual([[], null, []])
})

describeWithValkey('two instances with a store', () => {
  let server: StoreServer
  let stores: Store[]
  beforeEach(async () => {
    vi.useRealTimers()
    server = await startStoreServer()
    const monotonic = (): number => performance.now()
    stores = [0, 1].map(() => createStore({ settings: storeSettings(server), now: Date.now, monotonic }))
    await until(() => stores.every((store) => !store.away), 'the store')
  })
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server.close()
  })

  test('know of the writes of each other, also of those that were made while the store was away', async () => {
    const [one, two] = stores.map((store) => new SharedUses(store))
    const use = (id: string): OwnUse => ({
      id,
      key: 'runner',
      operation: 'org.sessions.create',
      organization: 'org-a',
      fromMs: 1,
      toMs: 2,
    })
    const known = async (): Promise<string[]> => ((await two?.read(60_000)) ?? []).map(({ id }) => id).toSorted()
    for (let count = 0; count < 1200; count += 1) one?.add(use(`a${count}`))
    await one?.send()
    expect(await known()).toHaveLength(1200)
    server.freeze()
    one?.add(use('b'))
    await expect(one?.send()).rejects.toThrow()
    await expect(two?.read(60_000)).rejects.toThrow()
    server.thaw()
    await until(() => stores.every((store) => !store.away), 'the store')
    await until(async () => {
      await one?.send().catch(() => {})
      return (await known().catch(() => [])).length === 1201
    }, 'the write')
    // Sent twice is known once.
    two?.add(use('b'))
    await two?.send()
    expect(await known()).toHaveLength(1201)
  })
})
