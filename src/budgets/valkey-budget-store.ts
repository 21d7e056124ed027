// Budgets of several instances in the shared store: each change is one script, made at once for all of them or not at all.
// The arithmetic is the ledger's; test/budgets/valkey-budget-store.test.ts holds the two together.

import { createRetryWait } from '../store/retry.ts'
import { StoreAway, script, type Argument, type Script, type Store } from '../store/store.ts'
import {
  BudgetsUnavailable,
  keptAfterMs,
  type BudgetStore,
  type BudgetChange,
  type ChangeResult,
  type BudgetAccount,
  type SessionReservation,
} from './budget-store.ts'

/**
 * KEYS: reservations by id, ids by session, the mark of a withdrawn id, then the account of each step. ARGV: id, version, the reservation as JSON (empty: it
 * goes), its session (empty: none), how long to keep reservations, then for each step what it reserves, spends, may come to at
 * most (empty: anything), and when its account may go (0: that long after its last change).
 * Answers 0 (stale), 1 (done) or 2 (full), then reserved and spent of each account.
 */
const changeScript = script(
  'budgets.change',
  `
local reservations, sessions = KEYS[1], KEYS[2]
local id, keep = ARGV[1], tonumber(ARGV[5])
local known = redis.call('HGET', reservations, id)
local before = known and cjson.decode(known) or nil
local result = 1
if (before and before.version or 0) ~= tonumber(ARGV[2]) then result = 0 end
if ARGV[2] == '0' and redis.call('EXISTS', KEYS[3]) == 1 then result = 0 end
local answer = { result }
for index = 4, #KEYS do
  local place = 6 + (index - 4) * 4
  local held = redis.call('HMGET', KEYS[index], 'reserved', 'spent')
  local reserved, spent = tonumber(held[1] or 0), tonumber(held[2] or 0)
  local most = ARGV[place + 2]
  if result == 1 and most ~= '' and reserved + spent + tonumber(ARGV[place]) + tonumber(ARGV[place + 1]) > tonumber(most) then
    answer[1] = 2
  end
  answer[#answer + 1] = reserved
  answer[#answer + 1] = spent
end
if answer[1] ~= 1 then return answer end
if ARGV[3] == '' then redis.call('HDEL', reservations, id) else redis.call('HSET', reservations, id, ARGV[3]) end
if before and type(before.session) == 'string' and before.session ~= ARGV[4] then
  redis.call('HDEL', sessions, before.session)
end
if ARGV[4] ~= '' then redis.call('HSET', sessions, ARGV[4], id) end
redis.call('PEXPIRE', reservations, keep)
redis.call('PEXPIRE', sessions, keep)
for index = 4, #KEYS do
  local place = 6 + (index - 4) * 4
  local at = 2 + (index - 4) * 2
  answer[at] = redis.call('HINCRBY', KEYS[index], 'reserved', ARGV[place])
  answer[at + 1] = redis.call('HINCRBY', KEYS[index], 'spent', ARGV[place + 1])
  if ARGV[place + 3] == '0' then redis.call('PEXPIRE', KEYS[index], keep)
  else redis.call('PEXPIREAT', KEYS[index], ARGV[place + 3]) end
end
return answer
`,
)

/** KEYS: the mark. ARGV: its lifetime. */
const withdrawScript = script('budgets.withdraw', `return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])`)

/** An abandoned call can still arrive for as long as TCP retransmits it. */
const markMs = 20 * 60_000

const accountsScript = script(
  'budgets.accounts',
  `
local answer = {}
for index, key in ipairs(KEYS) do
  local held = redis.call('HMGET', key, 'reserved', 'spent')
  answer[#answer + 1] = tonumber(held[1] or 0)
  answer[#answer + 1] = tonumber(held[2] or 0)
end
return answer
`,
)

const findScript = script('budgets.find', `return redis.call('HGET', KEYS[1], ARGV[1])`)

const findSessionScript = script(
  'budgets.find-session',
  `
local id = redis.call('HGET', KEYS[2], ARGV[1])
return id and redis.call('HGET', KEYS[1], id)
`,
)

/** Reads reservations in parts: a script over all of them would block the store. */
const scanScript = script(
  'budgets.scan',
  `
local part = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
local answer = { part[1] }
for index = 2, #part[2], 2 do answer[#answer + 1] = part[2][index] end
return answer
`,
)

/** Creates the budget store over a shared store. */
export function createValkeyBudgetStore(store: Store): BudgetStore {
  // One tag, so that all keys of a script are on one node of a cluster: creates are rare.
  const key = (...parts: readonly string[]): string => store.key('{budgets}', ...parts)
  const [reservations, sessions] = [key('holdings'), key('sessions')]
  const markKey = (id: string): string => key('withdrawn', id)
  const accountKey = (name: string): string => key('account', name)

  async function run(what: Script, keys: readonly string[], values: readonly Argument[]): Promise<unknown> {
    try {
      return await store.run(what, keys, values)
    } catch (error) {
      if (error instanceof StoreAway)
        throw new BudgetsUnavailable(`the store of budgets is away: ${error.message}`, {
          cause: error,
          begun: error.sent,
        })
      throw error
    }
  }

  async function find(what: Script, name: string): Promise<SessionReservation | null> {
    const text = await run(what, [reservations, sessions], [name])
    return typeof text === 'string' ? reservationOf(text) : null
  }

  return {
    // Other instances may have reserved in the store, so it is always read, and creates are refused while it is away.
    ready: () => Promise.resolve(),
    async change({ id, version, after, steps }: BudgetChange): Promise<ChangeResult> {
      const values = steps.flatMap(({ reserved, spent, most, endMs }) => [
        reserved,
        spent,
        most ?? '',
        endMs === null ? 0 : endMs + keptAfterMs,
      ])
      const answer = numbersOf(
        await run(
          changeScript,
          [reservations, sessions, markKey(id), ...steps.map(({ account }) => accountKey(account))],
          [id, version, after === null ? '' : JSON.stringify(after), after?.session ?? '', keptAfterMs, ...values],
        ),
      )
      const result = (['stale', 'done', 'full'] as const)[answer[0] ?? 0] ?? 'stale'
      return {
        result,
        accounts: new Map(steps.map(({ account, endMs }, index) => [account, accountAt(answer, 1 + 2 * index, endMs)])),
      }
    },
    async withdraw(id) {
      await run(withdrawScript, [markKey(id)], [markMs])
    },
    retryWait: createRetryWait(store),
    async accounts(names) {
      if (names.length === 0) return new Map()
      const answer = numbersOf(await run(accountsScript, names.map(accountKey), []))
      return new Map(names.map((name, index) => [name, accountAt(answer, 2 * index, null)]))
    },
    find: (id) => find(findScript, id),
    findSession: (session) => find(findSessionScript, session),
    async reservations() {
      const found = new Map<string, SessionReservation>()
      let cursor = '0'
      do {
        // A list of texts, as the script makes it.
        const [next = '0', ...texts] = (await run(scanScript, [reservations], [cursor])) as string[]
        for (const text of texts) {
          const reservation = reservationOf(text)
          found.set(reservation.id, reservation)
        }
        cursor = next
      } while (cursor !== '0')
      return [...found.values()]
    },
    isLeader: () => store.membership.isLeader,
    // The caller that opened the store closes it.
    close: () => Promise.resolve(),
  }
}

function accountAt(answer: readonly number[], place: number, endMs: number | null): BudgetAccount {
  return { reserved: answer[place] ?? 0, spent: answer[place + 1] ?? 0, endMs }
}

/** Only this module writes reservations. */
function reservationOf(text: string): SessionReservation {
  return JSON.parse(text) as SessionReservation
}

function numbersOf(answer: unknown): number[] {
  return Array.isArray(answer) ? answer.map(Number) : []
}
