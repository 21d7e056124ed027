// Half requests over HTTP/1.1 and HTTP/2: what is sent of a body is under the test's control, and so is when.

import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import { parseAnswer } from './raw-request.ts'

export const protocols = ['HTTP/1.1', 'HTTP/2'] as const
export type Protocol = (typeof protocols)[number]

export interface HalfRequest {
  /** Resolves with the answer, once the connection (HTTP/2: the stream) is over. */
  readonly over: Promise<{
    status: number
    fields: Readonly<Record<string, string>>
    body: string
    reset: number | null
  }>
  write(piece: string): void
  end(piece?: string): void
  leave(): void
}

export interface Head {
  readonly method: string
  readonly path: string
  readonly token: string | null
  readonly fields?: Readonly<Record<string, string>>
}

/** Opens a request on a connection of its own, without its body. `length`: Content-Length; without it, chunked. */
export function openRequest(protocol: Protocol, port: number, head: Head, length: number | null): HalfRequest {
  return protocol === 'HTTP/1.1' ? openHttp1(port, head, length) : openHttp2(port, head, length)
}

function openHttp1(port: number, { method, path, token, fields = {} }: Head, length: number | null): HalfRequest {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => {})
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: gateway.example',
    ...(token === null ? [] : [`Authorization: Bearer ${token}`]),
    ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
    length === null ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`,
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const framed = (piece: string): string =>
    length === null ? `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n` : piece
  return {
    over: new Promise((resolve) =>
      socket.on('close', () => {
        const { status, fields: answered, body } = parseAnswer(text)
        resolve({ status, fields: answered, body, reset: null })
      }),
    ),
    write: (piece) => void socket.write(framed(piece)),
    end: (piece) => {
      if (piece !== undefined) socket.write(framed(piece))
      if (length === null) socket.write('0\r\n\r\n')
    },
    leave: () => void socket.destroy(),
  }
}

function openHttp2(port: number, { method, path, token, fields = {} }: Head, length: number | null): HalfRequest {
  const session: ClientHttp2Session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  const stream = session.request(
    {
      ':method': method,
      ':path': path,
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...fields,
      ...(length === null ? {} : { 'content-length': String(length) }),
    },
    { endStream: false },
  )
  stream.on('error', () => {})
  let body = ''
  let answered: Record<string, string> = {}
  stream.on('response', (headers) => {
    answered = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
  })
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => (body += chunk))
  return {
    over: new Promise((resolve) => {
      const close = (): void => {
        session.destroy()
        resolve({ status: Number(answered[':status'] ?? 0), fields: answered, body, reset: stream.rstCode ?? null })
      }
      stream.on('close', close)
      // Node's client closes a stream that the server has closed only when all it has to write is written, which never happens then.
      stream.on('aborted', () => (stream.readableEnded ? close() : stream.on('end', close)))
    }),
    write: (piece) => void stream.write(piece),
    end: (piece) => void stream.end(piece),
    leave: () => stream.close(constants.NGHTTP2_CANCEL),
  }
}
