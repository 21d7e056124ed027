// The connections of the callers' listener: their number, their idle time, and their graceful close.

import type { Server } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { guardConnections } from '../../http/client-address.ts'
import { ConnectionCaps, type CapOptions, type ConnectionRefusal } from './caps.ts'
import { IncomingConnections } from './incoming.ts'
import { meterInput, type InputGate } from './metered-input.ts'
import { Sessions, type SessionCut } from './sessions.ts'

export interface ConnectionOptions extends CapOptions {
  readonly input: InputGate
  readonly headMs: number
  readonly now: () => number
  /** A request of this connection is being answered. */
  readonly isBusy: (socket: Socket) => boolean
  /** A connection was refused. `answerable`: the socket to answer over HTTP/1 and close; null when it was closed already. */
  readonly onRefused: (reason: ConnectionRefusal, answerable: Socket | null) => void
  readonly onCut: (cause: ConnectionCut) => void
  /** All connections are about to be cut, with the requests on them. */
  readonly beforeAllAreCut: () => void
}

export const connectionCuts = [
  'handshake',
  'head',
  'idle',
  'flood',
  'protocol',
  'pipeline',
] as const satisfies readonly (SessionCut | 'handshake' | 'pipeline')[]
export type ConnectionCut = (typeof connectionCuts)[number]

export const idleMs = 72_000
export const checkMs = 1_000
/** Most refused connections that are answered at a time; others are closed without a response. */
const mostAnsweredAtOnce = 8
/** How many may wait in the system to be accepted: Node's default. A flood must not keep the listener open. */
const mostToAccept = 511
/** Longer than a worker waits for the next connection while its parent has one. */
const handOverMs = 5

export function watchConnections(server: Server, options: ConnectionOptions) {
  const caps = new ConnectionCaps(options)
  const sessions = new Sessions({ ...options, idleMs })
  const incoming = new IncomingConnections()
  const sockets = new Set<Socket>()
  const isTls = 'setSecureContext' in server
  let beingAnswered = 0
  let arrived = 0
  const isBelowTls = (socket: Socket): boolean => isTls && !('encrypted' in socket)
  const track = (socket: Socket): void => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }

  function refuse(socket: Socket, reason: ConnectionRefusal): void {
    const answers = !isTls && beingAnswered < mostAnsweredAtOnce
    options.onRefused(reason, answers ? socket : null)
    if (!answers) {
      socket.destroy()
      return
    }
    beingAnswered += 1
    socket.once('close', () => (beingAnswered -= 1))
  }

  guardConnections(server, (socket, begin) => {
    arrived += 1
    const reason = caps.take(socket)
    if (reason !== null) {
      refuse(socket, reason)
      return
    }
    track(socket)
    incoming.add(socket, () => {
      begin()
      if (!isTls) meterInput(socket, options.input)
    })
  })
  // Without a listener an error of accept(2) would end the process. One before it listens is the business of who started it.
  server.on('error', () => server.listening && options.onRefused('not-accepted', null))
  // With TLS every connection has a second socket above the one that was accepted.
  if (isTls)
    server.on('secureConnection', (socket: Socket) => {
      track(socket)
      meterInput(socket, options.input)
    })
  server.on('session', (session: ServerHttp2Session) => sessions.add(session))
  const check = setInterval(() => sessions.look(), Math.min(checkMs, options.headMs))
  check.unref()

  // Connections become idle as their requests end; one with HTTP/2 is its session's business.
  const closeIdle = (): void => {
    sessions.destroyIdle()
    for (const socket of sockets) {
      const isIdle = isBelowTls(socket)
        ? socket.bytesRead === 0
        : !isHttp2Socket(socket) && !options.isBusy(socket) && hasSpoken(socket)
      if (isIdle) socket.destroy()
    }
  }
  function cut(): void {
    options.beforeAllAreCut()
    sessions.destroy()
    for (const socket of sockets) socket.destroy()
  }
  /** What Node has not accepted, or not handed over to a worker, is lost when it stops listening. It takes one connection a turn. */
  async function untilAccepted(): Promise<void> {
    for (let looks = 0, before = -1; before !== arrived && looks < mostToAccept; looks++) {
      before = arrived
      await sleep(handOverMs)
      await setImmediate()
    }
  }
  return {
    cut,
    get open(): number {
      return caps.open
    },
    /** Those among them that have yet to begin. */
    get waiting(): number {
      return incoming.waiting
    },
    /** Asks HTTP/2 callers to open no further streams; requests under way go on. */
    goAway: (): void => sessions.goAway(),
    /** Stops listening, closes what is idle, and resolves when the rest has ended or was cut at the deadline. */
    async close(deadlineMs: number): Promise<void> {
      // After a stall of the event loop this runs before what has arrived meanwhile is accepted, and then read.
      await untilAccepted()
      incoming.beginAll()
      await setImmediate()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      sessions.goAway()
      const sweep = setInterval(closeIdle, 50)
      closeIdle()
      const timer = setTimeout(cut, deadlineMs)
      await closed
      clearTimeout(timer)
      clearInterval(sweep)
      clearInterval(check)
    },
  }
}

function isHttp2Socket(socket: Socket): boolean {
  return 'alpnProtocol' in socket && socket.alpnProtocol === 'h2'
}

/** A connection whose first request is still arriving is not idle. */
function hasSpoken(socket: Socket): boolean {
  return socket.bytesRead === 0 || socket.bytesWritten > 0
}
