// What both subjects stand on: small HTTP servers that pass requests and answers on, line by line.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent, type Dispatcher } from 'undici'

/** Name and value alternating. */
export type Fields = readonly string[]

/** What a wire changes on the way. */
export interface Rewriting {
  request(fields: Fields, request: IncomingMessage): string[]
  response(fields: Fields): string[]
}

export const unchanged: Rewriting = {
  request: (fields) => [...fields],
  response: (fields) => [...fields],
}

/** Binds a server to a free port. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  // A server that listens on TCP has such an address.
  return (server.address() as AddressInfo).port
}

/** Passes every request on to a port; interim answers, too. */
export async function startWire(
  portFor: (path: string) => number,
  rewritingFor: (path: string) => Rewriting,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((request, response) => {
    const path = request.url ?? '/'
    passOn(request, response, portFor(path), rewritingFor(path))
  })
  return { port: await listen(server), server }
}

/** Every connection of the wires. */
const agent = new Agent({ connections: 100, pipelining: 1 })

function passOn(request: IncomingMessage, response: ServerResponse, port: number, rewriting: Rewriting): void {
  response.sendDate = false
  response.once('error', () => undefined)
  ask(request, port, rewriting.request(request.rawHeaders, request), {
    interim(status, fields) {
      if (status === 102) response.writeProcessing()
      if (status === 103) response.writeEarlyHints({ link: valueOf(fields, 'link') })
    },
    head(status, text, fields) {
      const framed = mapFields(fields, (name, value) =>
        name.toLowerCase() === 'transfer-encoding' ? null : [name, value],
      )
      response.writeHead(status, text, rewriting.response(framed))
    },
    data: (chunk) => void response.write(chunk),
    end: () => void response.end(),
    fail: () => void response.destroy(),
  })
}

/** What an answer is handed to. */
export interface Listener {
  interim(status: number, fields: Fields): void
  head(status: number, text: string, fields: Fields): void
  data(chunk: Buffer): void
  end(): void
  fail(error: Error): void
}

/** Sends a request with these fields to a port. Returns what gives it up. */
export function ask(request: IncomingMessage, port: number, fields: Fields, listener: Listener): () => void {
  let controller: Dispatcher.DispatchController | null = null
  let over = false
  const end = (): void => {
    if (!over) listener.end()
    over = true
  }
  const onward = mapFields(fields, (name, value) => (ofTheConnection.has(name.toLowerCase()) ? null : [name, value]))
  agent.dispatch(
    {
      origin: `http://127.0.0.1:${port}`,
      path: request.url ?? '/',
      method: request.method ?? 'GET',
      headers: onward,
      body: request.method === 'GET' || request.method === 'HEAD' ? null : request,
    },
    {
      onRequestStart: (started) => {
        controller = started
      },
      onResponseStart: (started, status, _fields, text) => {
        // Name and value buffers alternating; the type speaks of every form there is.
        const raw = ((started.rawHeaders ?? []) as readonly Buffer[]).map((part) => part.toString('latin1'))
        if (status < 200) listener.interim(status, raw)
        else listener.head(status, text ?? '', raw)
        // undici takes the length that a 304 speaks of for a body that did not come.
        if (status === 304) end()
      },
      onResponseData: (_started, chunk) => listener.data(chunk),
      onResponseEnd: () => end(),
      onResponseError: (_started, error) => {
        if (!over) listener.fail(error)
      },
    },
  )
  return () => controller?.abort(new Error('nobody waits'))
}

/** Made anew for each connection. */
const ofTheConnection = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'expect',
  'upgrade',
])

function valueOf(fields: Fields, name: string): string {
  const index = fields.findIndex((field, place) => place % 2 === 0 && field.toLowerCase() === name)
  return index === -1 ? '' : (fields[index + 1] ?? '')
}

/** The fields with other names and values; null leaves one out. */
export function mapFields(
  fields: Fields,
  change: (name: string, value: string) => readonly [name: string, value: string] | null,
): string[] {
  const mapped: string[] = []
  for (let index = 0; index < fields.length; index += 2) {
    const changed = change(fields[index] ?? '', fields[index + 1] ?? '')
    if (changed !== null) mapped.push(...changed)
  }
  return mapped
}
