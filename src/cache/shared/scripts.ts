// What the instances of a group do in the store, each as one atomic script. The store holds the head of the chain of messages,
// who is a member and when it was last heard of, and who went missing. Used by group.ts and telling.ts.
//
// KEYS: the group, its members, the missing. ARGV: the channel, the lease in milliseconds, and what each script says.

import { script } from '../../store/store.ts'

/**
 * A server that is another one than before (restarted, or a replica that took over) may have lost members, so the group begins
 * anew, and whatever an instance was promised by the one before has run out after a lease. A member that was not heard of for
 * a lease is missing, and everybody is told.
 */
const beginning = `
local group, members, missing = KEYS[1], KEYS[2], KEYS[3]
local lease = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function say(payload)
  local head = redis.call('HGET', group, 'head')
  redis.call('HSET', group, 'head', redis.sha1hex(head .. payload))
  redis.call('PUBLISH', ARGV[1], head .. ' ' .. payload)
end

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if redis.call('HGET', group, 'run') ~= run then
  for _, id in ipairs(redis.call('ZRANGE', members, 0, -1)) do redis.call('ZADD', missing, now, id) end
  redis.call('DEL', members)
  redis.call('HSET', group, 'run', run, 'head', redis.sha1hex(run .. now), 'since', now)
end
redis.call('ZREMRANGEBYSCORE', missing, '-inf', now - 600000)
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

local function standing(id)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 900000) end
  return {
    redis.call('ZSCORE', members, id),
    redis.call('HGET', group, 'head'),
    redis.call('ZCARD', members),
    redis.call('ZCARD', missing),
  }
end
`

/** ARGV: the new member, and the names under which the same instance was one before. Answers its standing. */
export const join = script(
  'cache.join',
  `${beginning}
for place = 4, #ARGV do
  redis.call('ZREM', missing, ARGV[place])
  if redis.call('ZREM', members, ARGV[place]) == 1 then say(cjson.encode({ left = ARGV[place] })) end
end
redis.call('ZADD', members, now, ARGV[3])
say(cjson.encode({ joined = ARGV[3] }))
return standing(ARGV[3])`,
)

/**
 * ARGV: the member, and when it was last heard of as it knows. Answers its standing; null when it is no member any more. What
 * arrives late, after another renewal or none in time, does nothing.
 */
export const renew = script(
  'cache.renew',
  `${beginning}
if redis.call('ZSCORE', members, ARGV[3]) ~= ARGV[4] then return false end
redis.call('ZADD', members, now, ARGV[3])
return standing(ARGV[3])`,
)

/** ARGV: the message. Answers how long promises of an earlier server may last still, in milliseconds, and the members. */
export const tell = script(
  'cache.tell',
  `${beginning}
say(ARGV[3])
return { math.max(0, math.min(lease, redis.call('HGET', group, 'since') + lease - now)), redis.call('ZRANGE', members, 0, -1) }`,
)

/** ARGV: the member, which serves nothing any more. */
export const leave = script(
  'cache.leave',
  `${beginning}
redis.call('ZREM', members, ARGV[3])
say(cjson.encode({ left = ARGV[3] }))
return true`,
)
