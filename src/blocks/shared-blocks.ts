// The blocks in the store, which all instances read: one hash, each change one script, told by a message.
//
// A block that is missing was lost, not ended: an ended one leaves a mark. So whoever still knows it puts it back, and a store
// that was emptied, or a replica that lacks the last writes, frees nobody.

import { randomUUID } from 'node:crypto'
import { script, type Store } from '../store/store.ts'
import { parseBlock, slotOf, writeBlock, type Block } from './block.ts'

/** How long marks of ended blocks are kept: an instance that was cut off for longer would put the block back. */
const markedForMs = 30 * 86_400_000
const keptForMs = 40 * 86_400_000

/** KEYS: the blocks, what instances have applied, the instances. */
const begin = `
local blocks, applied, instances = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mark = 'ended '
local function changed()
  local all = redis.call('HGETALL', blocks)
  for place = 1, #all, 2 do
    local value = all[place + 1]
    local endedAt = string.sub(value, 1, #mark) == mark and tonumber(string.sub(value, #mark + 1))
    local isBlock, block = pcall(cjson.decode, value)
    local overAt = isBlock and type(block) == 'table' and tonumber(block['until'])
    if (endedAt and endedAt < now - ${markedForMs}) or (overAt and overAt <= now) then
      redis.call('HDEL', blocks, all[place])
    end
  end
  redis.call('HSET', blocks, 'version', ARGV[2])
  redis.call('PEXPIRE', blocks, ${keptForMs})
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
`

/** ARGV: the instance; the version that it has applied. Answers the time, the version, and all blocks when there is another version. */
const read = script(
  'blocks.read',
  `${begin}
local version = redis.call('HGET', blocks, 'version')
-- A full store must still be readable.
redis.pcall('HSET', applied, ARGV[1], ARGV[2])
redis.pcall('PEXPIRE', applied, 900000)
if version then redis.pcall('PEXPIRE', blocks, ${keptForMs}) end
if version and version == ARGV[2] then return { now, version } end
return { now, version or '', redis.call('HGETALL', blocks) }`,
)

/** ARGV: the channel; the new version; for each block its slot, its JSON, and `new` or `known`. A known one changes nothing that is there. */
const write = script(
  'blocks.write',
  `${begin}
local wrote = false
for place = 3, #ARGV, 3 do
  if ARGV[place + 2] == 'new' or redis.call('HEXISTS', blocks, ARGV[place]) == 0 then
    redis.call('HSET', blocks, ARGV[place], ARGV[place + 1])
    wrote = true
  end
end
if wrote then changed() end
return 1`,
)

/** ARGV: the channel; the new version; the slot. */
const end = script(
  'blocks.end',
  `${begin}
redis.call('HSET', blocks, ARGV[3], mark .. string.format('%.0f', now))
changed()
return 1`,
)

/** Answers how many instances there are, and how many have applied the version that is there. */
const progress = script(
  'blocks.progress',
  `${begin}
local version = redis.call('HGET', blocks, 'version') or ''
local there, count, done = {}, 0, 0
for _, id in ipairs(redis.call('ZRANGE', instances, 0, -1)) do
  there[id] = true
  count = count + 1
  if redis.call('HGET', applied, id) == version then done = done + 1 end
end
for _, id in ipairs(redis.call('HKEYS', applied)) do
  if not there[id] then redis.call('HDEL', applied, id) end
end
return { count, done }`,
)

/** What the store holds. */
export interface StoredBlocks {
  /** The store's clock, milliseconds since the epoch. */
  readonly nowMs: number
  readonly version: string
  /** Null: as of the version that was known. */
  readonly content: {
    readonly blocks: ReadonlyMap<string, Block>
    /** Slots of blocks that were ended. */
    readonly ended: ReadonlySet<string>
    /** Entries that are neither. */
    readonly unreadable: number
  } | null
}

export interface UnsharedBlock {
  readonly block: Block
  /** False: the store may hold a later word on it, which then stands. */
  readonly isNew: boolean
}

/** All but `listen` reject with `StoreAway`. */
export function createSharedBlocks(store: Pick<Store, 'instance' | 'key' | 'membership' | 'run' | 'subscribe'>) {
  const keys = [
    store.key('{limits}', 'blocks'),
    store.key('{limits}', 'blocks-applied'),
    // Membership keeps it beside the limits.
    store.membership.keys.instances,
  ]
  const channel = store.key('blocks')
  return {
    /** `changed`: somebody has changed the blocks, or messages may have been missed. */
    listen(changed: () => void): void {
      store.subscribe(channel, { message: changed, lost: () => undefined, restored: changed })
    },
    async read(version: string): Promise<StoredBlocks> {
      const [nowMs, found, content] = (await store.run(read, keys, [store.instance, version])) as [
        number,
        string,
        string[]?,
      ]
      return { nowMs, version: found, content: content === undefined ? null : contentOf(content) }
    },
    async write(blocks: readonly UnsharedBlock[]): Promise<void> {
      const entries = blocks.flatMap(({ block, isNew }) => [
        slotOf(block.kind, block.value),
        writeBlock(block),
        isNew ? 'new' : 'known',
      ])
      await store.run(write, keys, [channel, randomUUID(), ...entries])
    },
    async end(slot: string): Promise<void> {
      await store.run(end, keys, [channel, randomUUID(), slot])
    },
    async progress(): Promise<{ readonly instances: number; readonly applied: number }> {
      const [instances, applied] = (await store.run(progress, keys, [])) as [number, number]
      return { instances, applied }
    },
  }
}

/** Others may write into the store, so every entry is validated. */
function contentOf(entries: readonly string[]): NonNullable<StoredBlocks['content']> {
  const blocks = new Map<string, Block>()
  const ended = new Set<string>()
  let unreadable = 0
  for (let index = 0; index < entries.length; index += 2) {
    const [slot = '', value = ''] = [entries[index], entries[index + 1]]
    if (slot === 'version') continue
    const block = parseBlock(value)
    if (block !== null && slotOf(block.kind, block.value) === slot) blocks.set(slot, block)
    else if (value.startsWith('ended ')) ended.add(slot)
    else unreadable += 1
  }
  return { blocks, ended, unreadable }
}
