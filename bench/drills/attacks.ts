// What one team, or somebody without a token, does to hurt the others: each attack continues until it is stopped. None of it is
// more than a careless or hostile program can do.

import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect, type TLSSocket } from 'node:tls'
import { forged } from '../identity.ts'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Target {
  readonly port: number
  readonly ca: string
  /** Path of the attacker's organization. */
  readonly home: string
  readonly tokens: readonly string[]
}

/** Starts to attack; the returned function ends it and closes every connection. */
export type Attack = (target: Target) => () => void

const host = '127.0.0.1'

function head(method: string, path: string, token: string, fields: readonly string[] = []): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: gateway', `Authorization: Bearer ${token}`, ...fields, '', ''].join(
    '\r\n',
  )
}

/** Keeps so many connections busy: each is given to `use`, and opened again when it closes. */
function keepOpen(count: number, { port, ca }: Target, use: (socket: TLSSocket, index: number) => void): () => void {
  let over = false
  const sockets = new Set<TLSSocket>()
  const open = (index: number): void => {
    if (over) return
    const socket = connect({ host, port, ca, ALPNProtocols: ['http/1.1'] }, () => use(socket, index))
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => {
      sockets.delete(socket)
      // Not at once: a refusal must not become a loop of handshakes that would be measured in its place.
      setTimeout(() => open(index), 200)
    })
  }
  for (let index = 0; index < count; index += 1) open(index)
  return () => {
    over = true
    for (const socket of sockets) socket.destroy()
  }
}

/** Writes a piece again and again while the connection lives. */
function trickle(socket: TLSSocket, piece: string, everyMs: number): void {
  const timer = setInterval(() => socket.write(piece), everyMs)
  socket.once('close', () => clearInterval(timer))
}

function tokenAt({ tokens }: Target, index: number): string {
  return tokens[index % tokens.length] ?? ''
}

/** Large bodies that a guardrail has to look into and refuses, one behind the other. */
const refusedBodies: Attack = (target) => {
  const zeros = `{"max_acu_limit":99,"knowledge_ids":[${'0,'.repeat(500_000)}0]}`
  return keepOpen(8, target, (socket, index) => {
    const request =
      head('POST', `${target.home}/sessions`, tokenAt(target, index), [
        'Content-Type: application/json',
        `Content-Length: ${zeros.length}`,
      ]) + zeros
    socket.write(request)
    // The next one when this one was answered.
    socket.on('data', (chunk: Buffer) => {
      if (chunk.toString('latin1').startsWith('HTTP/1.1')) socket.write(request)
    })
  })
}

/** Bodies that a guardrail has to look into, and that never become complete. */
const slowBodies: Attack = (target) =>
  keepOpen(300, target, (socket, index) => {
    socket.write(
      head('POST', `${target.home}/sessions`, tokenAt(target, index), [
        'Content-Type: application/json',
        'Content-Length: 1000000',
      ]) + `{"prompt":"${'x'.repeat(900_000)}`,
    )
    socket.resume()
    trickle(socket, 'x', 1000)
  })

/** The same over three HTTP/2 connections with a hundred streams each. */
const slowStreams: Attack = (target) =>
  keepSessions(3, target, (session, index) => {
    for (let stream = 0; stream < 100; stream += 1) {
      const request = session.request({
        ':method': 'POST',
        ':path': `${target.home}/sessions`,
        authorization: `Bearer ${tokenAt(target, index)}`,
        'content-type': 'application/json',
      })
      request.on('error', () => undefined)
      request.resume()
      request.write(`{"prompt":"${'x'.repeat(1_000_000)}`)
    }
  })

/** Uploads of one byte every two seconds. */
const slowUploads: Attack = (target) =>
  keepOpen(500, target, (socket, index) => {
    socket.write(
      head('POST', `${target.home}/attachments`, tokenAt(target, index), [
        'Content-Type: multipart/form-data; boundary=x',
        'Content-Length: 10000000',
      ]),
    )
    socket.resume()
    trickle(socket, 'x', 2000)
  })

/** Reads that the upstream never answers. */
const hungCalls: Attack = (target) =>
  keepOpen(300, target, (socket, index) => {
    socket.write(head('GET', `${target.home}/sessions/hung-${index}/messages`, tokenAt(target, index)))
    socket.resume()
  })

/** Long answers that nobody reads. */
const unreadAnswers: Attack = (target) =>
  keepOpen(300, target, (socket, index) => {
    socket.pause()
    socket.write(head('GET', `${target.home}/sessions/long-${index}/messages`, tokenAt(target, index)))
  })

/** Heads that never end. */
const slowHeads: Attack = (target) =>
  keepOpen(300, target, (socket) => {
    socket.write(`GET ${target.home}/sessions HTTP/1.1\r\nHost: gateway\r\n`)
    socket.resume()
    trickle(socket, 'X-A: b\r\n', 2000)
  })

/** Requests ahead of their turn, as many as fit, with the least head there is. Nobody reads the answers. */
const tinyPipelines: Attack = (target) => {
  const tiny = Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(4000))
  return keepOpen(300, target, (socket) => {
    socket.pause()
    const fill = (): void => {
      while (socket.writable && socket.write(tiny));
    }
    socket.on('drain', fill)
    fill()
  })
}

/** The same by callers with a token, each behind requests that are answered. */
const knownPipelines: Attack = (target) => {
  const tiny = Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(4000))
  return keepOpen(300, target, (socket, index) => {
    const request = head('GET', `${target.home}/sessions`, tokenAt(target, index))
    let answers = 0
    socket.write(request)
    socket.on('data', (chunk: Buffer) => {
      if (!chunk.toString('latin1').startsWith('HTTP/1.1')) return
      answers += 1
      if (answers === 1) socket.write(request)
      else if (answers === 2) socket.write(tiny)
    })
  })
}

/** Tokens with a wrong signature, each another one; the next when the one before is refused. */
const junkTokens: Attack = (target) => {
  let sent = 0
  return keepOpen(300, target, (socket, index) => {
    const next = (): void => {
      sent += 1
      socket.write(head('GET', `${target.home}/sessions`, junkToken(tokenAt(target, index), sent)))
    }
    socket.on('data', (chunk: Buffer) => {
      if (chunk.toString('latin1').startsWith('HTTP/1.1')) next()
    })
    next()
  })
}

/** The same over twenty HTTP/2 connections with fifty streams each. */
const junkStreams: Attack = (target) => {
  let sent = 0
  return keepSessions(20, target, (session, index) => {
    const next = (): void => {
      if (session.closed || session.destroyed) return
      sent += 1
      const request = session.request({
        ':path': `${target.home}/sessions`,
        authorization: `Bearer ${junkToken(tokenAt(target, index), sent)}`,
      })
      request.on('error', () => undefined)
      request.once('close', next)
      request.resume()
    }
    for (let stream = 0; stream < 50; stream += 1) next()
  })
}

/** Keeps so many HTTP/2 sessions open, and opens another one for each that is closed. */
function keepSessions(
  count: number,
  target: Target,
  begin: (session: ClientHttp2Session, index: number) => void,
): () => void {
  let over = false
  const sessions = new Set<ClientHttp2Session>()
  const open = (index: number): void => {
    if (over) return
    const session = connectHttp2(`https://${host}:${target.port}`, { ca: target.ca })
    sessions.add(session)
    session.on('error', () => undefined)
    session.once('close', () => {
      sessions.delete(session)
      setTimeout(() => open(index), 200)
    })
    begin(session, index)
  }
  for (let index = 0; index < count; index += 1) open(index)
  return () => {
    over = true
    for (const session of sessions) session.destroy()
  }
}

/** A token that nobody has signed, and that was not sent before. */
function junkToken(token: string, number: number): string {
  const [head = '', payload = '', signature = ''] = forged(token).split('.')
  const mark = number.toString(36).padStart(8, 'A')
  return `${head}.${payload}.${mark}${signature.slice(mark.length)}`
}

/** Each with the limits of the team that makes it: bodies are a matter of limits, connections to the upstream are not. */
export const attacks = {
  'refused bodies of 1 MiB': { attack: refusedBodies, team: 'limited' },
  '300 slow bodies': { attack: slowBodies, team: 'limited' },
  '300 slow bodies over 3 HTTP/2 connections': { attack: slowStreams, team: 'limited' },
  '500 uploads of a byte every 2 s': { attack: slowUploads, team: 'unlimited' },
  '300 hung calls': { attack: hungCalls, team: 'unlimited' },
  '300 unread answers': { attack: unreadAnswers, team: 'unlimited' },
  '300 slow heads': { attack: slowHeads, team: 'unlimited' },
  '300 pipelines of tiny heads': { attack: tinyPipelines, team: 'unlimited' },
  '300 pipelines of tiny heads behind a token': { attack: knownPipelines, team: 'unlimited' },
  'junk tokens over 300 connections': { attack: junkTokens, team: 'unlimited' },
  'junk tokens over 20 HTTP/2 connections': { attack: junkStreams, team: 'unlimited' },
} as const satisfies Readonly<Record<string, { attack: Attack; team: 'limited' | 'unlimited' }>>

export type AttackName = keyof typeof attacks

/** Attacks for a while, then closes everything. */
export async function attackFor(name: AttackName, target: Target, ms: number): Promise<void> {
  const stop = attacks[name].attack(target)
  await sleep(ms)
  stop()
}
