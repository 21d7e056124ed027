// Bytes to a socket and back: `fetch` and `inject` normalise a request before anybody sees it.

import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly fields: Readonly<Record<string, string>>
  readonly body: string
  /** Everything that came, also a second answer. */
  readonly text: string
}

/** Sends bytes and collects everything until the other side closes; `connection: close` in the request makes it so. */
export function sendRaw(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    )
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(parseAnswer(Buffer.concat(chunks).toString('latin1'))))
    socket.setTimeout(20_000, () =>
      socket.destroy(
        new Error(`no end of the answer; so far: ${Buffer.concat(chunks).toString('latin1').slice(0, 500)}`),
      ),
    )
  })
}

/** A request as text, one that closes its connection. Field lines are written as given. */
export function rawRequest(method: string, target: string, fields: readonly string[] = [], body = ''): string {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...(fields.some((line) => /^host:/i.test(line)) ? [] : ['Host: gateway.example']),
    ...fields,
    'Connection: close',
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

export function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = text.slice(0, end === -1 ? text.length : end).split('\r\n')
  const fields: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    fields[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { status: Number(statusLine.split(' ')[1] ?? 0), fields, body: end === -1 ? '' : text.slice(end + 4), text }
}

/** An open connection for tests that speak step by step. */
export function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
  })
}
