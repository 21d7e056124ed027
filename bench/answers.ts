// Before anything is timed: does each peer answer rightly, and what reaches the upstream? And, around each run, one probe.

import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { AnswerReader } from './answer-reader.ts'
import type { Caller } from './identity.ts'
import type { Running, Site } from './peers/peer.ts'
import { wireRequests, type WireRequest } from './requests.ts'
import { jsonAnswer } from './upstream.ts'
import { shortAnswerBytes, type RequestSpec } from './workloads.ts'

/** A wrong answer: measuring would be meaningless. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

interface Received {
  readonly target: string
  readonly fields: IncomingHttpHeaders
  readonly body: string
}

/** Sends one request on a connection of its own and gives the status of the answer. */
export function statusOf(port: number, request: WireRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    const reader = new AnswerReader()
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(request.bytes))
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within ten seconds')))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection was closed before the answer was complete')))
    socket.on('data', (chunk) => {
      try {
        const status = reader.push(chunk)
        if (status === null) return
        resolve(status)
        socket.destroy()
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
}

/** Sends the first caller's request. Throws `WrongAnswer` for another status than the right one. */
export async function probe(port: number, requests: readonly WireRequest[], status: number): Promise<void> {
  const [request] = requests
  if (request === undefined) return
  const got = await statusOf(port, request)
  if (got !== status) throw new WrongAnswer(`port ${port}: ${request.target} was answered with ${got}, not ${status}`)
}

/**
 * Sends every caller's request of every kind through a peer to an upstream that remembers what it got. Throws
 * `WrongAnswer` at the first difference: a status, a key, a target or a body. Gives the number of requests sent.
 */
export async function checkAnswers(
  running: Running,
  site: Site,
  specs: readonly RequestSpec[],
  callers: readonly Caller[],
): Promise<number> {
  const upstream = await startWitness(site.ports.upstream)
  let sent = 0
  try {
    for (const spec of specs) {
      const requests = wireRequests(spec, callers)
      if (spec.primed) {
        for (const request of requests) await statusOf(running.port, request)
        sent += requests.length
      }
      for (const request of requests) {
        upstream.received.length = 0
        const status = await statusOf(running.port, request)
        sent += 1
        const fault = faultOf(running, site, spec, request, status, upstream.received)
        if (fault !== null) throw new WrongAnswer(`${running.server.title}: ${spec.method} ${request.target}: ${fault}`)
      }
    }
  } finally {
    await upstream.close()
  }
  return sent
}

function faultOf(
  { server }: Running,
  { installation }: Site,
  spec: RequestSpec,
  { caller, token, target }: WireRequest,
  status: number,
  received: readonly Received[],
): string | null {
  // A peer that guards nothing passes a request on that a gateway would refuse.
  const wanted = server.guards ? spec.status : 200
  if (status !== wanted) return `status ${status} instead of ${wanted}`
  if (server.guards && spec.key === null) return received.length === 0 ? null : 'it reached the upstream'
  const [seen] = received
  if (seen === undefined || received.length > 1) return `it reached the upstream ${received.length} times`
  const credential = server.guards && spec.key !== null ? installation.keyOf(caller.team, spec.key) : token
  if (seen.fields.authorization !== `Bearer ${credential}`) return 'the upstream received another credential'
  if (seen.target !== target) return `the upstream received the target ${seen.target}`
  return seen.body === (spec.body ?? '') ? null : 'the upstream received another body'
}

/** An upstream that remembers what it received. */
async function startWitness(port: number): Promise<{ received: Received[]; close(): Promise<void> }> {
  const received: Received[] = []
  // As long as the upstream's under load, because a cache may keep it until then.
  const answer = jsonAnswer(shortAnswerBytes)
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.once('end', () => {
      received.push({ target: request.url ?? '', fields: request.headers, body })
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length }).end(answer)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Waits until the records of so many requests are in both files. Throws `WrongAnswer` when they are not complete. */
export async function checkRecords({ installation }: Site, requests: number): Promise<void> {
  for (const file of Object.values(installation.records)) {
    let lines = -1
    for (let attempt = 0; attempt < 40 && lines !== requests; attempt += 1) {
      if (attempt > 0) await sleep(50)
      lines = linesOf(file)
    }
    if (lines !== requests) throw new WrongAnswer(`${requests} requests left ${lines} records in ${file}`)
  }
}

function linesOf(file: string): number {
  try {
    return readFileSync(file, 'latin1').split('\n').length - 1
  } catch {
    return 0
  }
}
