// Three ways in which client programs send HTTP: fetch, node:http with a pool of connections, and curl as a process
// of its own. None of them follows redirects by default.

import { spawn, spawnSync } from 'node:child_process'
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** A body that is sent as it is made, without a declared length. */
export type Streamed = AsyncIterable<Buffer>

export interface Outgoing {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | Streamed
}

export interface Incoming {
  readonly status: number
  /** By name in lower case. */
  readonly fields: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** Sends one request to an absolute address. */
export type Wire = (url: string, outgoing?: Outgoing) => Promise<Incoming>

export const fetchWire: Wire = async (url, { method = 'GET', headers = {}, body } = {}) => {
  const response = await fetch(url, {
    method,
    headers: { ...headers },
    redirect: 'manual',
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : bytesOf(body), duplex: 'half' as const }),
  })
  return {
    status: response.status,
    fields: Object.fromEntries(response.headers),
    body: Buffer.from(await response.arrayBuffer()),
  }
}

function bytesOf(body: Buffer | Streamed): Uint8Array<ArrayBuffer> | ReadableStream {
  return Buffer.isBuffer(body) ? new Uint8Array(body) : (Readable.toWeb(Readable.from(body)) as ReadableStream)
}

export interface Pool {
  readonly wire: Wire
  /** Connections that were opened so far. */
  opened(): number
  close(): void
}

/** A pool of at most so many connections that are kept open between requests. */
export function openPool(connections: number): Pool {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const sockets = new Set<Socket>()
  return {
    wire: (url, outgoing = {}) => sendOn(agent, sockets, url, outgoing),
    opened: () => sockets.size,
    close: () => agent.destroy(),
  }
}

async function sendOn(agent: Agent, sockets: Set<Socket>, url: string, outgoing: Outgoing): Promise<Incoming> {
  const { method = 'GET', headers = {}, body } = outgoing
  return await new Promise((resolve, reject) => {
    const request = httpRequest(url, { agent, method, headers: { ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, fields: flat(response.headers), body: Buffer.concat(chunks) })
        // Refused before it was asked for, the body stays unsent, and the connection is of no use any more.
        if (!request.writableEnded) request.destroy()
      })
    })
    request.on('socket', (socket) => sockets.add(socket))
    request.on('error', reject)
    const sendBody = (): void => {
      if (body === undefined || isWhole(body)) request.end(body)
      else void pipeline(body, request).catch(reject)
    }
    if (headers['expect'] === undefined) sendBody()
    else {
      request.flushHeaders()
      request.once('continue', sendBody)
    }
  })
}

function flat(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}

/** Whether there is a curl to run. */
export const curlInstalled = spawnSync('curl', ['--version']).status === 0

export const curlWire: Wire = async (url, { method = 'GET', headers = {}, body } = {}) => {
  const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const upload = body === undefined ? [] : isWhole(body) ? ['--data-binary', '@-'] : ['-T', '-']
  // `-I` is how curl spells HEAD; with `-X` it would wait for a body.
  const verb = method === 'HEAD' ? ['-I'] : ['-X', method]
  return await curl([...verb, ...fields, ...upload, url], body)
}

function isWhole(body: string | Buffer | Streamed): body is string | Buffer {
  return typeof body === 'string' || Buffer.isBuffer(body)
}

/** Runs curl with these arguments and reads the final answer; `input` is its standard input. */
export async function curl(args: readonly string[], input?: string | Buffer | Streamed): Promise<Incoming> {
  const child = spawn('curl', ['-sS', '-i', ...args])
  const out: Buffer[] = []
  const complaints: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk))
  const exit = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  // A server that has answered need not read the rest, and then curl does not either.
  child.stdin.on('error', () => {})
  if (input === undefined || isWhole(input)) child.stdin.end(input)
  else void pipeline(input, child.stdin).catch(() => {})
  const code = await exit
  if (code !== 0) throw new Error(`curl ended with ${code}: ${Buffer.concat(complaints).toString()}`)
  return finalAnswer(Buffer.concat(out))
}

/** Heads of interim answers and of followed redirects come first. */
function finalAnswer(output: Buffer): Incoming {
  const end = output.indexOf('\r\n\r\n')
  const [line = '', ...rest] = output.subarray(0, end).toString('latin1').split('\r\n')
  const status = Number(line.split(' ')[1])
  const body = output.subarray(end + 4)
  if (body.subarray(0, 5).toString() === 'HTTP/') return finalAnswer(body)
  const fields = rest.map((text) => [
    text.slice(0, text.indexOf(':')).toLowerCase(),
    text.slice(text.indexOf(':') + 1).trim(),
  ])
  return { status, fields: Object.fromEntries(fields) as Record<string, string>, body }
}
