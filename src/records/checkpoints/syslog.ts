// Sends checkpoints as syslog messages (RFC 5424): by UDP (RFC 5426), by TCP or TLS with counted octets (RFC 6587, RFC 5425), to a stream socket.

import { createSocket } from 'node:dgram'
import { connect as connectTcp, isIPv6, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { connect as connectTls } from 'node:tls'
import { codeInWords } from '../../config/values/file-errors.ts'
import type { CheckpointTarget } from '../../config/records/checkpoint-schema.ts'
import type { CheckpointPlace } from './place.ts'

type SyslogTarget = Extract<CheckpointTarget, { kind: 'syslog' }>

/** Facility 13, log audit; severity 5, notice. */
const priority = 13 * 8 + 5

export function syslogPlace(target: SyslogTarget): CheckpointPlace {
  const name =
    target.protocol === 'unix'
      ? `syslog at ${target.path}`
      : `syslog at ${target.protocol}://${isIPv6(target.host) ? `[${target.host}]` : target.host}:${target.port}`
  return {
    name,
    send: (line, signal) =>
      target.protocol === 'udp'
        ? sendDatagram(target.host, target.port, syslogMessage(line))
        : sendCounted(() => open(target), syslogMessage(line), signal),
  }
}

function syslogMessage(line: string): Buffer {
  const host =
    hostname()
      .replaceAll(/[^\x21-\x7e]/g, '')
      .slice(0, 255) || '-'
  return Buffer.from(
    `<${priority}>1 ${new Date().toISOString()} ${host} devin-gateway ${process.pid} checkpoint - ${line}`,
  )
}

function sendDatagram(host: string, port: number, message: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    let isOver = false
    const end = (error: Error | null): void => {
      if (isOver) return
      isOver = true
      socket.close()
      if (error === null) resolve()
      else reject(inWords(error))
    }
    socket.on('error', end)
    socket.send(message, port, host, end)
  })
}

function open(target: Exclude<SyslogTarget, { protocol: 'udp' }>): Socket {
  if (target.protocol === 'unix') return connectTcp(target.path)
  const { host, port } = target
  return target.protocol === 'tcp'
    ? connectTcp(port, host)
    : connectTls({ port, host, servername: isIPv6(host) ? '' : host })
}

/** A connection for each message: a receiver that has gone away shows at once. */
function sendCounted(connect: () => Socket, message: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect()
    let failure: Error | null = null
    const stop = (): void => {
      failure ??= new Error('it did not answer in time')
      socket.destroy()
    }
    signal.addEventListener('abort', stop, { once: true })
    socket.on('error', (error) => (failure ??= inWords(error)))
    socket.once('close', () => {
      signal.removeEventListener('abort', stop)
      if (failure === null) resolve()
      else reject(failure)
    })
    socket.resume()
    // Closed by both sides only after the receiver has read it.
    socket.end(Buffer.concat([Buffer.from(`${message.length} `), message]))
  })
}

function inWords(error: Error): Error {
  return new Error(codeInWords('code' in error ? String(error.code) : error.message), { cause: error })
}
