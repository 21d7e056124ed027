// Blocks and how they come into force: on the disk, in the store, on all instances, and for what is under way.

import { setTimeout as wait } from 'node:timers/promises'
import type { Store } from '../store/store.ts'
import { slotOf, type Block, type BlockKind } from './block.ts'
import { readBlockFile, writeBlockFile } from './block-file.ts'
import { BlockList } from './block-list.ts'
import { createSharedBlocks, type StoredBlocks } from './shared-blocks.ts'
import { readEveryMs, SharedView } from './shared-view.ts'
import type { WantedBlock } from './wanted.ts'

export interface BlockServiceOptions {
  readonly file: string
  readonly store: Store | null
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly monotonic: () => number
  /** These are in force from now on: what is under way for them has to be cut. */
  readonly onBlocked: (blocks: readonly Block[]) => void
  /** A block has ended by its time. */
  readonly onOver: (block: Block) => void
  /** A sentence for the log. */
  readonly onTrouble: (text: string, error?: unknown) => void
}

/** How far a change has come when it is answered. */
export interface Spread {
  /** Instances that share the store, this one included. */
  readonly instances: number
  /** Those among them that have not said that they heard of it. */
  readonly unconfirmed: number
  /** False: the store could not be told yet; it will be when it is back. */
  readonly everywhere: boolean
  /** False: it could not be written to the disk, and a restart while there is no store forgets it. */
  readonly kept: boolean
}

/** Nothing was changed: the store is away. */
export class BlocksUnavailable extends Error {
  override readonly name = 'BlocksUnavailable'
}

/** How long an answer waits for the store and for the other instances. */
const spreadWithinMs = 1_000
const lookAgainMs = 20

export function createBlockService(options: BlockServiceOptions) {
  const { file, store, now, monotonic, onBlocked, onOver, onTrouble } = options
  const shared = store === null ? null : createSharedBlocks(store)
  const view = new SharedView({ monotonic, now })
  const list = new BlockList(clock)
  let blocks: ReadonlyMap<string, Block> = new Map()
  /** Slots of blocks that the store has not been told of. */
  let unsent: ReadonlySet<string> = new Set()
  let version = ''
  /** From the monotonic clock to the store's. */
  let storeAheadMs: number | null = null
  let isKnown = store === null
  let reading: Promise<void> | null = null
  let writing: Promise<boolean> = Promise.resolve(true)
  let unreadable = 0
  let timer: NodeJS.Timeout | undefined

  function clock(): number {
    return storeAheadMs === null ? now() : monotonic() + storeAheadMs
  }

  function isOver({ untilMs }: Block): boolean {
    return untilMs !== null && clock() >= untilMs
  }

  /** Puts these in force and on the disk. Resolves with whether they are on the disk. */
  function put(next: ReadonlyMap<string, Block>, nextUnsent: ReadonlySet<string>): Promise<boolean> {
    blocks = next
    unsent = nextUnsent
    const added = list.replace(blocks)
    if (added.length > 0) onBlocked(added)
    writing = writing.then(async () => {
      try {
        await writeBlockFile(file, { blocks, unsent })
        return true
      } catch (error) {
        onTrouble(`the blocked callers cannot be written to ${file}`, error)
        return false
      }
    })
    return writing
  }

  /** Blocks end by themselves. */
  function dropOver(): void {
    const over = [...blocks].filter(([, block]) => isOver(block))
    if (over.length === 0) return
    for (const [, block] of over) onOver(block)
    const left = new Map([...blocks].filter(([slot]) => !over.some(([each]) => each === slot)))
    void put(left, new Set([...unsent].filter((slot) => left.has(slot))))
  }

  /** Reads what the store holds, beginning now or, where a reading is under way, sharing it. Rejects with `StoreAway`. */
  function read(): Promise<void> {
    return (reading ??= readOnce().finally(() => (reading = null)))
  }

  async function readOnce(): Promise<void> {
    if (shared === null) return
    const askedAt = view.moment()
    const known = version
    const state = await shared.read(known)
    storeAheadMs = state.nowMs - monotonic()
    if (state.content !== null) await take(state.content, state.version)
    else if (unsent.size > 0) await send([])
    isKnown = true
    view.seen(askedAt)
    // Says which version is applied here, for whoever waits for it.
    if (version !== known && version !== '') await shared.read(version)
  }

  async function take(content: NonNullable<StoredBlocks['content']>, found: string): Promise<void> {
    const next = new Map([...content.blocks].filter(([, block]) => !isOver(block)))
    const missing: Block[] = []
    for (const [slot, block] of blocks) {
      if (isOver(block)) continue
      if (unsent.has(slot)) next.set(slot, block)
      else if (!next.has(slot) && !content.ended.has(slot)) {
        next.set(slot, block)
        missing.push(block)
      }
    }
    if (content.unreadable > unreadable)
      onTrouble(`entries of the blocked callers in the store cannot be read, and block nobody: ${content.unreadable}`)
    unreadable = content.unreadable
    if (!isSame(next, blocks)) void put(next, new Set([...unsent].filter((slot) => next.has(slot))))
    version = found
    await send(missing)
  }

  /** Tells the store of blocks that it has lost, and of those that were made while it was away. */
  async function send(lost: readonly Block[]): Promise<void> {
    const sent = [...unsent].flatMap((slot) => blocks.get(slot) ?? [])
    if (shared === null || sent.length + lost.length === 0) return
    await shared.write([
      ...sent.map((block) => ({ block, isNew: true })),
      ...lost.map((block) => ({ block, isNew: false })),
    ])
    // One that was made again meanwhile is to be sent again.
    if (sent.length > 0)
      void put(blocks, new Set([...unsent].filter((slot) => !sent.some((block) => block === blocks.get(slot)))))
  }

  function readSoon(): void {
    if (store?.away === true) return
    // A reading that is under way may have begun before the change.
    const before = reading ?? Promise.resolve()
    before
      .catch(() => {})
      .then(read)
      .catch(() => {})
  }

  /** Waits until the store and all instances that share it have heard of a change, for a while. */
  async function spread(kept: boolean): Promise<Spread> {
    if (shared === null || store === null) return { instances: 1, unconfirmed: 0, everywhere: true, kept }
    const until = monotonic() + spreadWithinMs
    let found = { instances: 1, applied: 1 }
    do {
      try {
        await read()
        if (unsent.size === 0) found = await shared.progress()
        if (unsent.size === 0 && found.applied >= found.instances) break
      } catch {
        // Tried again below.
      }
      await wait(lookAgainMs)
    } while (!store.away && monotonic() < until)
    const { instances, applied } = found
    return { instances, unconfirmed: instances - applied, everywhere: unsent.size === 0, kept }
  }

  return {
    list,
    /** Whether blocks of other instances can be known: false before the store has answered for the first time, without a copy. */
    get isKnown(): boolean {
      return isKnown
    },
    /** Null where what is known is recent; else a promise to wait for before anybody is let through. */
    whenRecent(): Promise<void> | null {
      if (store === null || store.away || !view.isStale) return null
      return view.refresh(read, () => store.away)
    },
    /** Reads the file and, where it answers, the store. Throws `Refused` for a broken file. */
    async start(): Promise<void> {
      const kept = await readBlockFile(file)
      if (kept !== null) {
        blocks = kept.blocks
        unsent = store === null ? new Set() : kept.unsent
        isKnown = true
        list.replace(blocks)
      }
      shared?.listen(readSoon)
      store?.onChange((away) => {
        if (!away) readSoon()
      })
      timer = setInterval(() => {
        dropOver()
        if (store !== null) readSoon()
      }, readEveryMs).unref()
      if (store?.away === false) await read().catch(() => {})
    },
    /** In force here when it returns; the promise resolves when the others have heard of it, or a second later. */
    async block({ forMs, ...wanted }: WantedBlock): Promise<Spread & { block: Block; replaced: Block | null }> {
      const sinceMs = Math.round(clock())
      const block: Block = { ...wanted, sinceMs, untilMs: forMs === null ? null : sinceMs + forMs }
      const slot = slotOf(block.kind, block.value)
      const replaced = list.get(block.kind, block.value)
      const kept = put(new Map([...blocks, [slot, block]]), store === null ? unsent : new Set([...unsent, slot]))
      return { block, replaced, ...(await spread(await kept)) }
    },
    /** Looks at the store first; null when there is no such block. Rejects with `BlocksUnavailable` while the store is away. */
    async find(kind: BlockKind, value: string): Promise<Block | null> {
      if (store !== null && !unsent.has(slotOf(kind, value))) {
        if (store.away) throw new BlocksUnavailable()
        await read().catch((error: unknown) => {
          throw new BlocksUnavailable('', { cause: error })
        })
      }
      return list.get(kind, value)
    },
    /** Ends a block. Rejects with `BlocksUnavailable` while the store is away, but for a block that it has not heard of. */
    async unblock(kind: BlockKind, value: string): Promise<Spread> {
      const slot = slotOf(kind, value)
      const isUnsent = unsent.has(slot)
      if (shared !== null && !(isUnsent && store?.away === true))
        await shared.end(slot).catch((error: unknown) => {
          throw new BlocksUnavailable('', { cause: error })
        })
      const left = new Map([...blocks].filter(([each]) => each !== slot))
      return await spread(await put(left, new Set([...unsent].filter((each) => each !== slot))))
    },
    /** Waits for the disk. */
    async close(): Promise<void> {
      clearInterval(timer)
      await writing
    },
  }
}

export type BlockService = ReturnType<typeof createBlockService>

function isSame(a: ReadonlyMap<string, Block>, b: ReadonlyMap<string, Block>): boolean {
  return a.size === b.size && [...a].every(([slot, block]) => JSON.stringify(b.get(slot)) === JSON.stringify(block))
}
