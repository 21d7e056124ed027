// What instances do in the store to know of each other, each as one atomic script. The store holds which instances are there;
// which of them are members, who hear all messages; which members went missing; the head of the chain of messages.
//
// KEYS: the group, its members, the missing, the instances, the epoch. ARGV: the channel, the lease of a member in
// milliseconds, the instance, and what each script says. A member's name begins with its instance and `_`.

import { script } from '../store.ts'

/** How long members are careful after one went missing: it may be cut off and still write. */
const missingForMs = 600_000

/**
 * A server that is another one than before (restarted, or a replica that took over) may have lost members, so the
 * group begins anew, and leases of the one before have run out after a lease. A member without a renewal for a lease
 * is missing, and all members get a message.
 */
const group = `
local group, members, missing, instances, epoch = unpack(KEYS)
local lease, instance = tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function say(payload)
  local head = redis.call('HGET', group, 'head')
  redis.call('HSET', group, 'head', redis.sha1hex(head .. payload))
  redis.call('PUBLISH', ARGV[1], head .. ' ' .. payload)
end

local function review()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if redis.call('HGET', group, 'run') ~= run then
    for _, id in ipairs(redis.call('ZRANGE', members, 0, -1)) do redis.call('ZADD', missing, now, id) end
    redis.call('DEL', members)
    redis.call('HSET', group, 'run', run, 'head', redis.sha1hex(run .. now), 'since', now)
  end
  redis.call('ZREMRANGEBYSCORE', missing, '-inf', now - ${missingForMs})
  local gone = redis.call('ZRANGEBYSCORE', members, '-inf', now - lease)
  -- Heard of in the future: the clock was set back, and it would count as present until then.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', members, now + lease, '+inf')) do table.insert(gone, id) end
  if #gone > 0 then
    for _, id in ipairs(gone) do
      redis.call('ZREM', members, id)
      redis.call('ZADD', missing, now, id)
    end
    say(cjson.encode({ gone = gone }))
  end
end

local function standing(id)
  return {
    redis.call('ZSCORE', members, id),
    redis.call('HGET', group, 'head'),
    redis.call('ZCARD', members),
    redis.call('ZCARD', missing),
  }
end
`

/**
 * Says that the instance is there. ARGV: for how many milliseconds it counts as there; the epoch to begin when there is none;
 * the member, empty for none; `join`, or when the member was last heard of as it knows; and the names under which a joining
 * instance was a member before. A renewal that arrives late, after another one or none in time, does nothing.
 *
 * Answers how many instances there are, the epoch, whether this one leads, and the member's standing; null when the store
 * knows no such member. What needs memory is written first: after another write, a full server would let it pass, and nobody
 * would see that it is full.
 */
export const heartbeat = script(
  'store.heartbeat',
  `${group}
local absent, member, mode = tonumber(ARGV[4]), ARGV[6], ARGV[7]
redis.call('ZADD', instances, now, instance)
redis.call('ZREMRANGEBYSCORE', instances, '-inf', now - absent)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', instances, now + 1000, '+inf')) do redis.call('ZADD', instances, now, id) end
redis.call('SET', epoch, ARGV[5], 'NX')
redis.call('PEXPIRE', epoch, 3456000000)
local leader = redis.call('HGET', group, 'leader')
if not leader or not redis.call('ZSCORE', instances, leader) then
  leader = instance
  redis.call('HSET', group, 'leader', leader)
end
review()
local stands = false
if mode == 'join' then
  for place = 8, #ARGV do
    redis.call('ZREM', missing, ARGV[place])
    if redis.call('ZREM', members, ARGV[place]) == 1 then say(cjson.encode({ left = ARGV[place] })) end
  end
  redis.call('ZADD', members, now, member)
  say(cjson.encode({ joined = member }))
  stands = standing(member)
elseif member ~= '' and redis.call('ZSCORE', members, member) == mode then
  redis.call('ZADD', members, now, member)
  stands = standing(member)
end
for place = 1, 4 do redis.call('PEXPIRE', KEYS[place], 900000) end
return { redis.call('ZCARD', instances), redis.call('GET', epoch), leader == instance and 1 or 0, stands }`,
)

/** ARGV: the message. Answers for how many milliseconds leases of an earlier server may still hold, and the members. */
export const send = script(
  'store.send',
  `${group}
review()
say(ARGV[4])
return { math.max(0, math.min(lease, redis.call('HGET', group, 'since') + lease - now)), redis.call('ZRANGE', members, 0, -1) }`,
)

/** ARGV: the member, which serves nothing any more; empty for none. */
export const leave = script(
  'store.leave',
  `${group}
review()
redis.call('ZREM', instances, instance)
if ARGV[4] ~= '' then
  redis.call('ZREM', members, ARGV[4])
  say(cjson.encode({ left = ARGV[4] }))
end
return true`,
)

/**
 * The instance has ended for certain, so it is not cut off and writing. What it sent last may still be under way: it counts as
 * missing for so many milliseconds more. ARGV: these.
 */
export const remove = script(
  'store.remove',
  `${group}
review()
redis.call('ZREM', instances, instance)
local begin, last, gone = instance .. '_', now - ${missingForMs} + tonumber(ARGV[4]), {}
local function is_of(id) return string.sub(id, 1, #begin) == begin end
for _, id in ipairs(redis.call('ZRANGE', members, 0, -1)) do
  if is_of(id) then
    redis.call('ZREM', members, id)
    redis.call('ZADD', missing, last, id)
    gone[#gone + 1] = id
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', missing, last, '+inf')) do
  if is_of(id) then redis.call('ZADD', missing, last, id) end
end
if #gone > 0 then say(cjson.encode({ gone = gone })) end
return true`,
)
