// Hands Node's HTTP/1 parser what a caller without a verified token sends in small pieces, and nothing while enough requests wait.
//
// Node parses all it has read at once: 64 KiB of the least heads are thousands of requests, each of which takes memory and time
// before anybody knows whose they are. So a piece ends with the head that ends in it. Reading through JavaScript is dearer, so a
// connection whose caller is known goes back to being read by the parser itself.

import type { Socket } from 'node:net'

const mostPieceBytes = 1024
/** Bodies may be full of what looks like the end of a head. The preface of HTTP/2 stays whole, by which it is known. */
const leastPieceBytes = Buffer.byteLength('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const endOfHead = Buffer.from('\r\n\r\n')

export interface InputGate {
  /** False stops the connection, until it is resumed. */
  readonly mayRead: (socket: Socket) => boolean
  /** A caller with a verified token has used the connection. */
  readonly isKnown: (socket: Socket) => boolean
}

/** What Node keeps at a socket of its HTTP server; none of it is documented. */
interface ParsedSocket {
  readonly parser?: { _consumed?: boolean; consume?: (handle: object) => void; onIncoming?: () => number } | null
  readonly _handle?: { isStreamBase?: boolean; _consumed?: boolean } | null
  /** Set while the answers are not read quickly enough; the parser must not be called then. */
  readonly _paused?: boolean
}

/** To be called for a new connection when Node has attached its parser. Does nothing to others, such as those of HTTP/2. */
export function meterInput(socket: Socket, gate: InputGate): void {
  const parsed = socket as unknown as ParsedSocket
  const [parse] = socket.listeners('data')
  if (parsed.parser === undefined || parsed.parser === null || parse === undefined) return
  let rest: Buffer | null = null

  function readPieces(): void {
    while (rest !== null) {
      // Node has taken its parser away, or nothing counts behind the last answer.
      if (parsed.parser === null || !socket.writable) rest = null
      else if (parsed._paused === true) {
        socket.pause()
        return
      } else if (!gate.mayRead(socket)) return
      else {
        const piece: Buffer = pieceOf(rest)
        rest = rest.length > piece.length ? rest.subarray(piece.length) : null
        Reflect.apply(parse as (chunk: Buffer) => void, socket, [piece])
      }
    }
    if (gate.isKnown(socket)) leaveToParser()
  }

  function leaveToParser(): void {
    const { parser, _handle: handle } = parsed
    const isReady = socket.readableLength === 0 && !socket.isPaused() && socket.writable
    if (!isReady || parser?.consume === undefined || parser._consumed === true || handle?.isStreamBase !== true) return
    socket.removeListener('resume', onResume)
    for (const [event, listener] of takenAway) socket.on(event, listener)
    parser._consumed = true
    parser.consume(handle)
  }

  function onResume(): void {
    if (rest !== null) readPieces()
  }

  const pausing = listenersOf(socket)
  socket.removeListener('data', parse as () => void)
  // Node notices a listener of this event: it reads through the stream from here on, and takes its own listeners away.
  socket.on('data', (chunk: Buffer) => {
    rest = rest === null ? chunk : Buffer.concat([rest, chunk])
    readPieces()
  })
  const left = listenersOf(socket)
  const takenAway = pausing.filter(([, listener]) => !left.some(([, each]) => each === listener))
  // Both Node and the pipelines resume a connection that they have paused.
  socket.on('resume', onResume)
}

/** What may be parsed at once: up to the end of a head. */
function pieceOf(bytes: Buffer): Buffer {
  const most = bytes.subarray(0, mostPieceBytes)
  const end = most.indexOf(endOfHead, leastPieceBytes - endOfHead.length)
  return end === -1 ? most : most.subarray(0, end + endOfHead.length)
}

/** To be called while a request is parsed: whatever comes behind it on its connection is dropped, and nothing more is parsed. */
export function dropWhatFollows(socket: Socket): void {
  const { parser } = socket as unknown as ParsedSocket
  if (parser === undefined || parser === null) return
  parser.onIncoming = () => 0
  // The parser cannot be stopped before the end of what was read. Node makes a request of each head in what it calls here, and uses
  // the parser again for other connections.
  const dear = Object.entries(parser).filter(([, value]) => isDear(value))
  for (const [name] of dear) Reflect.set(parser, name, () => 0)
  process.nextTick(() => {
    for (const [name, value] of dear) Reflect.set(parser, name, value)
  })
}

function isDear(value: unknown): boolean {
  return typeof value === 'function' && /^parserOn(?:HeadersComplete|Body|MessageComplete)$/.test(value.name)
}

function listenersOf(socket: Socket): (readonly ['pause' | 'resume', () => void])[] {
  return (['pause', 'resume'] as const).flatMap((event) =>
    socket.listeners(event).map((listener) => [event, listener as () => void] as const),
  )
}
