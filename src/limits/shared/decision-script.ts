// What the shared store does for the limits: one script judges what has come up at an instance since its last call, so that
// every decision is made at once for all instances, by the store's own clock. How usage is kept is in meter-scripts.ts.
//
// Only additions need memory, and of the commands of a script a full server refuses the first one or none, so a decision is
// never half done.

import { script } from '../../store/store.ts'
import { meterKinds } from './meter-scripts.ts'

/**
 * Does what a call brings, in its order. KEYS: the epoch of the store and its instances (store/membership/scripts.ts), then one
 * for each limit. ARGV: the instance; the epoch that it knows; one text for each limit, of its kind and numbers
 * (limit-wire.ts), the slots that are held among them; then one text for each of these, where `place` is that of a limit:
 *
 * - `back place time count`: uses that were counted for this moment and have not been.
 * - `uses place count`: uses that the store has not heard of; below zero, that are given back.
 * - `take cost place…`, `peek cost place…`: a request, to be counted in all of its limits or in none; `peek` only reads.
 *
 * Answers nothing when the epoch is another one: the store has lost what it held. Else the store's time, as seconds and
 * microseconds; then for each request whether it was granted, the place of the limit that was exceeded (0 for none),
 * milliseconds to wait (-1 for ever), and for each of its limits what is left and milliseconds until all of it is back.
 */
export const decideScript = script(
  'limits.decide',
  `local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local instance = ARGV[1]
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {} end
local function is_there(name) return redis.call('ZSCORE', KEYS[2], name) and true or false end

${meterKinds}
local function open(key, text)
  local kind, shadow, amount, a, b, c = string.match(text, '(%a+) (%d) (%d+) ([%d.]+) ?(%d*) ?(%d*)')
  local limit = { key = key, kind = kinds[kind], shadow = shadow == '1', amount = tonumber(amount) }
  if kind == 'calendar' then
    limit.turns = { tonumber(a), tonumber(b), tonumber(c) }
  elseif kind == 'slots' then
    limit.held = tonumber(a)
  else
    limit.span = tonumber(a)
  end
  limit.kind.read(limit)
  return limit
end

local limits = {}
for index = 3, #KEYS do limits[index - 2] = open(KEYS[index], ARGV[index]) end

local answer, size = { tonumber(time[1]), tonumber(time[2]) }, 2
local function stand(limit)
  answer[size + 1], answer[size + 2] = limit.kind.remaining(limit), math.ceil(limit.kind.reset(limit))
  size = size + 2
end

local doing = {}
function doing.back(numbers)
  local limit = limits[numbers[1]]
  limit.kind.take_off(limit, numbers[2], numbers[3])
end
function doing.uses(numbers)
  local limit, count = limits[numbers[1]], numbers[2]
  if count < 0 then
    limit.kind.give_back(limit, -count)
  else
    limit.kind.count(limit, count)
    limit.changed = true
  end
end
local function judge(numbers, is_peek)
  local cost = table.remove(numbers, 1)
  local exceeded, shadowed, retry = 0, 0, 0
  for _, place in ipairs(numbers) do
    local limit = limits[place]
    local wait = limit.kind.wait(limit, cost)
    if wait > 0 then
      if limit.shadow then
        if shadowed == 0 then shadowed = place end
      elseif exceeded == 0 or wait > retry then
        exceeded, retry = place, wait
      end
    end
  end
  local granted = exceeded == 0
  answer[size + 1], answer[size + 2] = granted and 1 or 0, granted and shadowed or exceeded
  answer[size + 3] = retry == math.huge and -1 or math.ceil(retry)
  size = size + 3
  for _, place in ipairs(numbers) do
    local limit = limits[place]
    if granted and not is_peek then
      limit.kind.count(limit, cost)
      limit.changed = true
    end
    stand(limit)
  end
end
doing.take = judge
function doing.peek(numbers) judge(numbers, true) end
for index = #KEYS + 1, #ARGV do
  local numbers = {}
  for number in string.gmatch(ARGV[index], '%-?%d+') do numbers[#numbers + 1] = tonumber(number) end
  doing[string.match(ARGV[index], '%a+')](numbers)
end
for _, limit in ipairs(limits) do
  if limit.changed then limit.kind.keep(limit) end
end
return answer`,
)
