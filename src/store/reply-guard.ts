// Keeps a store that answers nonsense from ending the process, or from filling its memory.

import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'

/** No answer and no message of ours is nearly as long. */
const longestReply = 64 * 1024 * 1024

/** What this file uses of the library's reader of replies. */
interface ReplyReader {
  readonly redis: { readonly stream: Duplex }
  dispatch(work: () => void): void
  /** Fails the calls that wait, and ends the connection. */
  returnFatalError(error: unknown): void
}

type ReaderClass = new (redis: ReplyReader['redis'], options: unknown) => ReplyReader

/**
 * The library throws what goes wrong with a reply where nobody can catch it, and reads replies of any length. No option changes
 * that. A reply that nobody can use is a broken connection here, as one that breaks the protocol.
 */
const slot = createRequire(import.meta.url)('ioredis/built/DataHandler.js') as { default: ReaderClass }
const Reader = slot.default
slot.default = class extends Reader {
  #unread = 0

  constructor(redis: ReplyReader['redis'], options: unknown) {
    super(redis, options)
    // Before the library's own listener, which takes the bytes.
    redis.stream.prependListener('data', (bytes: Buffer) => {
      this.#unread += bytes.length
      if (this.#unread <= longestReply) return
      this.#unread = 0
      this.returnFatalError(new Error('the store sends a reply without an end'))
    })
  }

  override dispatch(work: () => void): void {
    this.#unread = 0
    try {
      work()
    } catch (error) {
      this.returnFatalError(error)
    }
  }
}
