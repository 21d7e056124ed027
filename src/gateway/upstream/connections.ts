// The connections to the upstream, kept apart by credential: what an upstream sends on a connection unasked can at the worst
// reach another request with the same key. One undici client is one connection.

import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { buildConnector, Client, type Dispatcher } from 'undici'
import type { Secret } from '../../keys/secret.ts'
import { InterimAnswers } from './interim-answers.ts'

export interface ConnectionSettings {
  readonly origin: string
  /** PEM of the authorities to trust instead of the system's, or null. */
  readonly ca: string | null
  /** Largest number over all credentials. */
  readonly connections: number
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly bodyIdleMs: number }
  readonly now: () => number
  readonly onDefect: (error: unknown) => void
}

/** A name that changed its address is followed within 30 seconds: so long, and the request that was sent last. */
const maxAgeMs = 25_000

/** One connection, and what undici does not tell of it. */
export class Connection {
  readonly credential: Secret
  /** Later uses, of whatever connection, have higher numbers. */
  lastUse = 0
  readonly #client: Client
  readonly #now: () => number
  readonly #interim = new InterimAnswers()
  #socket: Socket | null = null
  #openedAtMs = 0
  #served = 0
  #expectsAnswer = false
  #answering = false

  constructor(credential: Secret, settings: ConnectionSettings, connect: buildConnector.connector) {
    this.credential = credential
    this.#now = settings.now
    this.#client = new Client(settings.origin, {
      pipelining: 1,
      headersTimeout: settings.timeouts.headersMs,
      bodyTimeout: settings.timeouts.bodyIdleMs,
      keepAliveMaxTimeout: maxAgeMs,
      allowH2: false,
      connect: (options, done) =>
        connect(options, (...result) => {
          if (result[0] === null) this.#watch(result[1])
          done(...result)
        }),
    })
    const emitter: EventEmitter = this.#client
    emitter.on('error', settings.onDefect)
  }

  /** True when this socket has carried an answer before: the other side may be closing it. */
  get isReused(): boolean {
    return this.#served > 0
  }

  /** True once bytes of the present answer have come. */
  get isAnswering(): boolean {
    return this.#answering
  }

  get canServe(): boolean {
    return this.#socket !== null && !this.#socket.destroyed && this.#now() - this.#openedAtMs < maxAgeMs
  }

  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(request, handler)
  }

  /** The request leaves: bytes are its answer from now on. */
  expectAnswer(): void {
    this.#interim.begin()
    this.#expectsAnswer = true
    this.#answering = false
  }

  rest(lastUse: number): void {
    this.lastUse = lastUse
    this.#expectsAnswer = false
    this.#served += 1
  }

  onClosed(listener: () => void): void {
    this.#client.on('disconnect', listener)
  }

  async close(): Promise<void> {
    await this.#client.destroy()
  }

  /** undici reads its socket by `read`, the one place to see every byte before the parser does. */
  #watch(socket: Socket): void {
    this.#socket = socket
    this.#openedAtMs = this.#now()
    this.#served = 0
    const read = socket.read.bind(socket)
    socket.read = (size?: number): unknown => {
      const bytes: unknown = read(size)
      if (!Buffer.isBuffer(bytes)) return bytes
      if (!this.#expectsAnswer) {
        // Data that no request asked for.
        socket.destroy()
        return null
      }
      this.#answering = true
      const passed = this.#interim.pass(bytes)
      return passed.length > 0 ? passed : socket.read()
    }
  }
}

/** Nothing is connected before the first request. */
export function createConnections(settings: ConnectionSettings) {
  const { origin, ca, timeouts } = settings
  // One for all, so that TLS sessions are resumed across credentials: they say who the server is, not who asks.
  const connect = buildConnector({
    timeout: timeouts.connectMs,
    rejectUnauthorized: true,
    allowH2: false,
    ...(ca === null ? {} : { ca }),
  })
  const all = new Set<Connection>()
  /** By credential, the most recently used last. */
  const idle = new Map<Secret, Connection[]>()
  let uses = 0
  let closed = false

  function open(credential: Secret): Connection {
    if (all.size >= settings.connections) {
      const longestOfEach = [...idle.values()].flatMap((mates) => mates.slice(0, 1))
      const [longestIdle] = longestOfEach.sort((one, other) => one.lastUse - other.lastUse)
      if (longestIdle !== undefined) discard(longestIdle)
    }
    const connection = new Connection(credential, { ...settings, origin }, connect)
    all.add(connection)
    connection.onClosed(() => {
      if (idle.get(credential)?.includes(connection) === true) discard(connection)
    })
    if (closed) discard(connection)
    return connection
  }

  function discard(connection: Connection): void {
    all.delete(connection)
    const mates = idle.get(connection.credential) ?? []
    const place = mates.indexOf(connection)
    if (place !== -1) mates.splice(place, 1)
    if (mates.length === 0) idle.delete(connection.credential)
    connection.close().catch(settings.onDefect)
  }

  return {
    get size(): number {
      return all.size
    },
    /** An idle connection of the credential, or a new one. `fresh`: a new one in any case. */
    take(credential: Secret, fresh: boolean): Connection {
      for (;;) {
        const mates = fresh ? undefined : idle.get(credential)
        const connection = mates?.at(-1)
        if (mates === undefined || connection === undefined) return open(credential)
        if (!connection.canServe) {
          discard(connection)
          continue
        }
        mates.pop()
        return connection
      }
    },
    /** The answer is complete: the connection may serve another request of its credential. */
    release(connection: Connection): void {
      connection.rest((uses += 1))
      if (closed || !connection.canServe) {
        discard(connection)
        return
      }
      const mates = idle.get(connection.credential)
      if (mates === undefined) idle.set(connection.credential, [connection])
      else mates.push(connection)
    },
    /** The connection is closed, and with it whatever it carries. */
    discard,
    async close(): Promise<void> {
      closed = true
      await Promise.all([...all].map((connection) => connection.close()))
      all.clear()
      idle.clear()
    },
  }
}

export type Connections = ReturnType<typeof createConnections>
