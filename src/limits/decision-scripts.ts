// What the shared store does for the limits: one script for each decision, so that it is made at once for all instances,
// by the store's own clock. The arithmetic is that of meter.ts, and test/limits/scripts.test.ts holds the two together.
// Used by shared-limiter.ts and leases.ts.
//
// How usage is kept, by kind of limit:
// - sliding: a list of `time:count:sum`, the times rising. `sum` runs over all entries, so usage is the difference of
//   the ends, and the time to wait for is found by halving.
// - bucket: the theoretical arrival time.
// - calendar: `end:used`.
// - slots: a sorted set of leases by the time they end.
//
// Everything expires with its window. Only additions need memory, and of the commands of a script a full server refuses
// the first one or none, so a decision is never half done.

import { script } from '../store/store.ts'

const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
`

/** The arithmetic of every kind of limit. A limit is a text of words: its kind, then its numbers (limit-wire.ts). */
const kinds = `
local function exact(number) return string.format('%.17g', number) end

local function entry(key, index)
  local text = redis.call('LINDEX', key, index)
  if not text then return nil end
  local time, count, sum = string.match(text, '([^:]+):([^:]+):([^:]+)')
  return { time = tonumber(time), count = tonumber(count), sum = tonumber(sum) }
end

local sliding = {}
function sliding.read(limit)
  local first = entry(limit.key, 0)
  while first and first.time + limit.span <= now do
    redis.call('LPOP', limit.key)
    first = entry(limit.key, 0)
  end
  limit.first = first
  limit.last = first and entry(limit.key, -1)
  limit.used = first and limit.last.sum - first.sum + first.count or 0
end
function sliding.wait(limit)
  if limit.amount < 1 then return math.huge end
  local excess = limit.used + 1 - limit.amount
  if excess <= 0 then return 0 end
  local goal = limit.first.sum - limit.first.count + excess
  local low, high = 0, redis.call('LLEN', limit.key) - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if entry(limit.key, middle).sum >= goal then high = middle else low = middle + 1 end
  end
  return entry(limit.key, low).time + limit.span - now
end
local function write(entry) return string.format('%.17g:%d:%d', entry.time, entry.count, entry.sum) end
function sliding.count(limit, cost)
  local step = math.max(1, limit.span / 1000)
  local time = math.ceil(now / step) * step
  local last = limit.last
  if last and last.time >= time then
    last.count, last.sum = last.count + cost, last.sum + cost
    redis.call('LSET', limit.key, -1, write(last))
  else
    last = { time = time, count = cost, sum = (last and last.sum or 0) + cost }
    redis.call('RPUSH', limit.key, write(last))
    limit.first, limit.last = limit.first or last, last
  end
  limit.used = limit.used + cost
  redis.call('PEXPIRE', limit.key, math.ceil(limit.span + step) + 1000)
end
function sliding.give_back(limit, cost)
  while cost > 0 and limit.last do
    local last = limit.last
    local part = math.min(cost, last.count)
    cost = cost - part
    last.count, last.sum = last.count - part, last.sum - part
    if last.count > 0 then
      redis.call('LSET', limit.key, -1, write(last))
    else
      redis.call('RPOP', limit.key)
    end
    sliding.read(limit)
  end
end
function sliding.remaining(limit) return math.max(0, limit.amount - limit.used) end
function sliding.reset(limit)
  if limit.used == 0 then return 0 end
  return math.min(limit.span, limit.last.time + limit.span - now)
end

local bucket = {}
function bucket.read(limit)
  limit.interval = limit.span / limit.amount
  limit.tolerance = limit.burst * limit.interval
  limit.arrival = tonumber(redis.call('GET', limit.key) or 0)
end
function bucket.wait(limit)
  if limit.interval > limit.tolerance then return math.huge end
  return math.max(0, math.max(limit.arrival, now) + limit.interval - limit.tolerance - now)
end
function bucket.write(limit)
  redis.call('SET', limit.key, exact(limit.arrival), 'PX', math.max(1, math.ceil(limit.arrival - now)) + 1000)
end
function bucket.count(limit, cost)
  limit.arrival = math.max(limit.arrival, now) + cost * limit.interval
  bucket.write(limit)
end
function bucket.give_back(limit, cost)
  limit.arrival = limit.arrival - cost * limit.interval
  bucket.write(limit)
end
function bucket.remaining(limit)
  return math.max(0, math.floor((limit.tolerance - math.max(0, limit.arrival - now)) / limit.interval + 1e-9))
end
function bucket.reset(limit) return math.max(0, limit.arrival - now) end

local calendar = {}
function calendar.read(limit)
  local text = redis.call('GET', limit.key)
  if text then
    local ending, used = string.match(text, '([^:]+):([^:]+)')
    limit.ending, limit.used = tonumber(ending), tonumber(used)
  end
  if limit.ending and now < limit.ending then return end
  limit.used = 0
  for _, turn in ipairs(limit.turns) do
    limit.ending = turn
    if now < turn then break end
  end
end
function calendar.wait(limit)
  if limit.used + 1 <= limit.amount then return 0 end
  if limit.amount < 1 then return math.huge end
  return limit.ending - now
end
function calendar.count(limit, cost)
  limit.used = math.max(0, limit.used + cost)
  local left = math.max(0, math.ceil(limit.ending - now)) + 1000
  redis.call('SET', limit.key, exact(limit.ending) .. ':' .. exact(limit.used), 'PX', left)
end
function calendar.give_back(limit, cost) calendar.count(limit, -cost) end
function calendar.remaining(limit) return math.max(0, limit.amount - limit.used) end
function calendar.reset(limit)
  if limit.used == 0 then return 0 end
  return limit.ending - now
end

local slots = {}
function slots.read(limit) limit.used = redis.call('ZCOUNT', limit.key, '(' .. exact(now), '+inf') end
function slots.wait(limit)
  if limit.used < limit.amount then return 0 end
  return 1000
end
function slots.count(limit, _, lease, lease_ms)
  redis.call('ZADD', limit.key, exact(now + lease_ms), lease)
  redis.call('ZREMRANGEBYSCORE', limit.key, '-inf', exact(now))
  redis.call('PEXPIRE', limit.key, lease_ms)
  limit.used = limit.used + 1
end
function slots.give_back(limit, _, lease)
  if redis.call('ZREM', limit.key, lease) == 1 then limit.used = limit.used - 1 end
end
function slots.remaining(limit) return math.max(0, limit.amount - limit.used) end
function slots.reset() return 0 end

local kinds = { sliding = sliding, bucket = bucket, calendar = calendar, slots = slots }

local function open(key, text)
  local kind, shadow, carry, amount, a, b, c = string.match(text, '(%a+) (%d) (%d+) (%d+) ?(%d*) ?(%d*) ?(%d*)')
  local limit = { key = key, kind = kinds[kind], shadow = shadow == '1', carry = tonumber(carry), amount = tonumber(amount) }
  if kind == 'calendar' then
    limit.turns = { tonumber(a), tonumber(b), tonumber(c) }
  else
    limit.span, limit.burst = tonumber(a), tonumber(b)
  end
  limit.kind.read(limit)
  return limit
end
`

/**
 * Judges all limits of a request, and counts it in all of them or in none. KEYS: one for each limit. ARGV: `take` or
 * `peek`, the lease, its milliseconds, then one text for each limit. Answers whether it was granted, the number of the
 * limit that was exceeded (0 for none), milliseconds to wait (-1 for ever), then what is left and milliseconds until all
 * of it is back for each limit. Uses that the store has not heard of yet (`carry`) are counted first, whatever is decided.
 */
export const decide = script(
  'limits.decide',
  `${clock}${kinds}
local limits, exceeded, shadowed, retry = {}, 0, 0, 0
for index, key in ipairs(KEYS) do
  local limit = open(key, ARGV[index + 3])
  limits[index] = limit
  if limit.carry > 0 then limit.kind.count(limit, limit.carry) end
  local wait = limit.kind.wait(limit)
  if wait > 0 then
    if limit.shadow then
      if shadowed == 0 then shadowed = index end
    elseif exceeded == 0 or wait > retry then
      exceeded, retry = index, wait
    end
  end
end
local granted = exceeded == 0
local answer = { granted and 1 or 0, granted and shadowed or exceeded, retry == math.huge and -1 or math.ceil(retry) }
for _, limit in ipairs(limits) do
  if granted and ARGV[1] == 'take' then limit.kind.count(limit, 1, ARGV[2], tonumber(ARGV[3])) end
  answer[#answer + 1] = limit.kind.remaining(limit)
  answer[#answer + 1] = math.ceil(limit.kind.reset(limit))
end
return answer`,
)

/** Takes back what was counted for a request. KEYS: one for each limit. ARGV: the lease, then one text for each limit. */
export const giveBack = script(
  'limits.give-back',
  `${clock}${kinds}
for index, key in ipairs(KEYS) do
  local limit = open(key, ARGV[index + 1])
  limit.kind.give_back(limit, 1, ARGV[1])
end`,
)

/** Keeps slots for longer. KEYS: the slots of limits. ARGV: milliseconds, then for each key how many leases, and those. */
export const renew = script(
  'limits.renew',
  `${clock}
local position = 2
for _, key in ipairs(KEYS) do
  for index = position + 1, position + ARGV[position] do
    redis.call('ZADD', key, now + ARGV[1], ARGV[index])
  end
  position = position + ARGV[position] + 1
  redis.call('PEXPIRE', key, ARGV[1])
end`,
)
