// How the shared store keeps usage, by kind of limit: the middle of the script in decision-script.ts, in Lua. The arithmetic
// is that of local/meter.ts, and test/limits/scripts.test.ts holds the two together.
//
// - sliding: a list of `time:count:sum`, the times rising. `sum` runs over all entries, so usage is the difference of
//   the ends, and the time to wait for is found by halving.
// - bucket: the theoretical arrival time.
// - calendar: `end:used`.
// - slots: a hash of how many each instance holds, their `total`, and when it was last `seen` that the instances are there.
//   An instance tells how many it holds, not what has changed: a call that is lost or late is put right by the next, and
//   nothing is freed twice.
//
// Each kind is a table of functions of a limit: `read` and `keep` it; `wait` until a cost fits; `count` and `give_back`
// uses; what is `remaining`, and when it is `reset`; sliding ones also `take_off` uses of an earlier moment. A limit is read
// once and kept once in a call. Everything expires with its window.

/** Needs `now`, `instance` and `is_there`; leaves `kinds`. */
export const meterKinds = `local function exact(number) return string.format('%.17g', number) end

local function entry(key, index)
  local text = redis.call('LINDEX', key, index)
  if not text then return nil end
  local time, count, sum = string.match(text, '([^:]+):([^:]+):([^:]+)')
  return { time = tonumber(time), count = tonumber(count), sum = tonumber(sum) }
end
local function write(entry) return string.format('%.17g:%d:%d', entry.time, entry.count, entry.sum) end

local sliding = {}
-- The clock was set back: the last use was now at the latest, and all others as long before it as they were.
local function move_back(limit, by)
  local all = redis.call('LRANGE', limit.key, 0, -1)
  redis.call('DEL', limit.key)
  for _, text in ipairs(all) do
    local time, rest = string.match(text, '([^:]+)(:.+)')
    redis.call('RPUSH', limit.key, exact(time - by) .. rest)
  end
  sliding.expire(limit)
end
function sliding.expire(limit)
  redis.call('PEXPIRE', limit.key, math.ceil(limit.span + math.max(1, limit.span / 1000)) + 1000)
end
function sliding.read(limit)
  local last = entry(limit.key, -1)
  if last and last.time > now then
    move_back(limit, last.time - now)
    last = entry(limit.key, -1)
  end
  local first = last and entry(limit.key, 0)
  while first and first.time + limit.span <= now do
    redis.call('LPOP', limit.key)
    first = entry(limit.key, 0)
  end
  limit.first, limit.last = first, first and last
  limit.used = first and last.sum - first.sum + first.count or 0
end
function sliding.wait(limit, cost)
  if cost > limit.amount then return math.huge end
  local excess = limit.used + cost - limit.amount
  if excess <= 0 then return 0 end
  local goal = limit.first.sum - limit.first.count + excess
  local length = redis.call('LLEN', limit.key) + (limit.is_new and 1 or 0)
  local low, high = 0, length - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if entry(limit.key, middle).sum >= goal then high = middle else low = middle + 1 end
  end
  -- The last one may not be written yet.
  local found = low == length - 1 and limit.last or entry(limit.key, low)
  return found.time + limit.span - now
end
local function entry_of(limit, time) return math.ceil(time / math.max(1, limit.span / 1000)) end
function sliding.count(limit, cost)
  local last = limit.last
  if last and entry_of(limit, last.time) == entry_of(limit, now) then
    last.time, last.count, last.sum = now, last.count + cost, last.sum + cost
  else
    limit.is_new = true
    limit.last = { time = now, count = cost, sum = (last and last.sum or 0) + cost }
    limit.first = limit.first or { time = now, count = cost, sum = limit.last.sum }
  end
  limit.used = limit.used + cost
end
function sliding.keep(limit)
  if limit.is_new then
    redis.call('RPUSH', limit.key, write(limit.last))
    sliding.expire(limit)
  else
    redis.call('LSET', limit.key, -1, write(limit.last))
  end
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
-- Off the entry that they were counted in, which may not be the last one: a use that has been is remembered for as long as
-- it counts. Where the window has left that entry behind there is nothing to do.
function sliding.take_off(limit, time, cost)
  local wanted, newer = entry_of(limit, time), {}
  local found = entry(limit.key, -1)
  while found and entry_of(limit, found.time) > wanted do
    newer[#newer + 1] = found
    found = entry(limit.key, -1 - #newer)
  end
  if not found or entry_of(limit, found.time) < wanted then return end
  newer[#newer + 1] = found
  cost = math.min(cost, found.count)
  found.count = found.count - cost
  for place, each in ipairs(newer) do
    each.sum = each.sum - cost
    redis.call('LSET', limit.key, -place, write(each))
  end
  while found and found.count == 0 do
    found = entry(limit.key, -1)
    if found and found.count == 0 then redis.call('RPOP', limit.key) end
  end
  sliding.read(limit)
end
local function left(limit) return math.max(0, limit.amount - limit.used) end
sliding.remaining = left
function sliding.reset(limit) return limit.used == 0 and 0 or limit.last.time + limit.span - now end

-- The amount is what it holds, the span that in which it gets one back: whole ticks (meter.ts), so all this is exact.
local bucket = {}
function bucket.read(limit)
  limit.interval, limit.tolerance = limit.span, limit.amount * limit.span
  -- After the clock was set back it would be fuller than full.
  limit.arrival = math.min(tonumber(redis.call('GET', limit.key) or 0), now + limit.tolerance)
end
function bucket.wait(limit, cost)
  if cost > limit.amount then return math.huge end
  return math.max(0, math.max(limit.arrival, now) + cost * limit.interval - limit.tolerance - now)
end
-- Uses that were counted without being judged make it full, and no more than that.
function bucket.count(limit, cost)
  limit.arrival = math.min(math.max(limit.arrival, now) + cost * limit.interval, now + limit.tolerance)
end
function bucket.keep(limit)
  redis.call('SET', limit.key, exact(limit.arrival), 'PX', math.max(1, math.ceil(limit.arrival - now)) + 1000)
end
function bucket.give_back(limit, cost)
  limit.arrival = limit.arrival - cost * limit.interval
  bucket.keep(limit)
end
function bucket.remaining(limit)
  return math.max(0, math.floor((limit.tolerance - math.max(0, limit.arrival - now)) / limit.interval))
end
function bucket.reset(limit) return math.max(0, limit.arrival - now) end

local calendar = {}
function calendar.read(limit)
  local text = redis.call('GET', limit.key)
  if text then
    local ending, used = string.match(text, '([^:]+):([^:]+)')
    limit.ending, limit.used = tonumber(ending), tonumber(used)
  end
  local ending
  for _, turn in ipairs(limit.turns) do
    ending = turn
    if now < turn then break end
  end
  if not limit.ending or now >= limit.ending then
    limit.used, limit.ending = 0, ending
  elseif now < ending and ending < limit.ending then
    -- The clock was set back over a midnight.
    limit.ending = ending
  end
end
function calendar.wait(limit, cost)
  if limit.used + cost <= limit.amount then return 0 end
  if cost > limit.amount then return math.huge end
  return limit.ending - now
end
function calendar.count(limit, cost) limit.used = limit.used + cost end
function calendar.keep(limit)
  local left = math.max(0, math.ceil(limit.ending - now)) + 1000
  redis.call('SET', limit.key, exact(limit.ending) .. ':' .. exact(limit.used), 'PX', left)
end
function calendar.give_back(limit, cost)
  limit.used = math.max(0, limit.used - cost)
  calendar.keep(limit)
end
calendar.remaining = left
function calendar.reset(limit) return limit.used == 0 and 0 or limit.ending - now end

local slots = {}
local function held(text) return tonumber(string.match(text or '0', '^%d+')) end
-- Frees what instances held that are not there any more. It is looked for once a second, and freed when they are not there for
-- the second time: when the clock was set forward all seem to be gone until their next heartbeat.
function slots.sweep(limit)
  limit.used = 0
  local all = redis.call('HGETALL', limit.key)
  for index = 1, #all, 2 do
    local name, text = all[index], all[index + 1]
    local is_there, was_there = is_there(name), not string.find(text, 'absent', 1, true)
    if name == 'total' or name == 'seen' then
      -- Of no instance.
    elseif not is_there and not was_there then
      redis.call('HDEL', limit.key, name)
    else
      limit.used = limit.used + held(text)
      if is_there ~= was_there then redis.call('HSET', limit.key, name, held(text) .. (is_there and '' or ' absent')) end
    end
  end
  redis.call('HSET', limit.key, 'total', limit.used, 'seen', exact(now))
  redis.call('PEXPIRE', limit.key, 86400000)
end
function slots.read(limit)
  local mine_now = limit.held
  local mine, total, seen = unpack(redis.call('HMGET', limit.key, instance, 'total', 'seen'))
  limit.used, limit.seen = tonumber(total or 0), tonumber(seen or now)
  if total and math.abs(now - limit.seen) >= 1000 then
    slots.sweep(limit)
    limit.seen = now
    mine = redis.call('HGET', limit.key, instance)
  end
  limit.mine = held(mine)
  limit.changed = mine_now ~= limit.mine
  limit.used = limit.used - limit.mine + mine_now
  limit.mine = mine_now
end
function slots.wait(limit) return limit.used < limit.amount and 0 or 1000 end
function slots.count(limit) limit.used, limit.mine = limit.used + 1, limit.mine + 1 end
function slots.keep(limit)
  if limit.used <= 0 then
    redis.call('DEL', limit.key)
  elseif limit.mine == 0 then
    redis.call('HSET', limit.key, 'total', limit.used)
    redis.call('HDEL', limit.key, instance)
  else
    redis.call('HSET', limit.key, instance, limit.mine, 'total', limit.used, 'seen', exact(limit.seen))
    redis.call('PEXPIRE', limit.key, 86400000)
  end
end
slots.remaining = left
function slots.reset() return 0 end

local kinds = { sliding = sliding, bucket = bucket, calendar = calendar, slots = slots }
`
