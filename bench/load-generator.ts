// Our own load generator, a process of its own. At saturation: as many requests under way as there are connections. At a
// fixed rate: a request is sent when it is due, whether or not earlier ones were answered. Prints one line of JSON.

import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answer-reader.ts'
import type { LoadOrder, LoadResult } from './load.ts'
import { parseRequests } from './requests.ts'
import { quantile } from './statistics.ts'

interface Connection {
  readonly socket: Socket
  readonly reader: AnswerReader
  sentAtMs: number
  busy: boolean
}

// Written by load.ts.
const order = JSON.parse(process.argv[2] ?? '') as LoadOrder
const requests = parseRequests(readFileSync(order.requestsFile))
const mostConnections = order.ratePerSecond === null ? order.connections : 1000
const latenciesUs = new Float64Array(4_000_000)
const idle: Connection[] = []
const open = new Set<Connection>()
let sent = 0
let answered = 0
let answeredBefore = 0
let unexpected = 0
let errors = 0
let sending = true

function addConnection(): Connection {
  const socket = connect({ host: '127.0.0.1', port: order.port, noDelay: true })
  const connection: Connection = { socket, reader: new AnswerReader(), sentAtMs: 0, busy: false }
  open.add(connection)
  socket.on('data', (chunk) => receive(connection, chunk))
  socket.on('error', () => socket.destroy())
  socket.on('close', () => lose(connection))
  return connection
}

function lose(connection: Connection): void {
  open.delete(connection)
  const place = idle.indexOf(connection)
  if (place >= 0) idle.splice(place, 1)
  if (connection.busy) errors += 1
  // A peer that refuses every connection must not turn this into a storm.
  if (sending && order.ratePerSecond === null) setTimeout(() => sending && send(addConnection()), 50)
}

function send(connection: Connection): void {
  const request = requests[sent % requests.length]
  if (request === undefined) return
  sent += 1
  connection.busy = true
  connection.sentAtMs = performance.now()
  connection.socket.write(request)
}

function receive(connection: Connection, chunk: Buffer): void {
  let status: number | null
  try {
    status = connection.reader.push(chunk)
  } catch {
    connection.socket.destroy()
    return
  }
  if (status === null) return
  connection.busy = false
  latenciesUs[answered % latenciesUs.length] = (performance.now() - connection.sentAtMs) * 1000
  answered += 1
  if (status !== order.status) unexpected += 1
  if (order.ratePerSecond !== null) idle.push(connection)
  else if (sending) send(connection)
}

/** Sends what is due, once a millisecond: the finest that a timer gives. */
function pace(ratePerSecond: number): void {
  const startMs = performance.now()
  const timer = setInterval(() => {
    if (!sending) {
      clearInterval(timer)
      return
    }
    const due = ((performance.now() - startMs) * ratePerSecond) / 1000
    while (sent < due) {
      const connection = idle.pop() ?? (open.size < mostConnections ? addConnection() : null)
      if (connection === null) {
        errors += 1
        sent += 1
      } else send(connection)
    }
  }, 1)
}

function begin(): void {
  for (let count = 0; count < (order.ratePerSecond === null ? mostConnections : 8); count += 1) {
    const connection = addConnection()
    if (order.ratePerSecond === null) send(connection)
    else idle.push(connection)
  }
  if (order.ratePerSecond !== null) pace(order.ratePerSecond)
  setTimeout(() => {
    answeredBefore = answered
  }, order.warmSeconds * 1000)
  setTimeout(finish, (order.warmSeconds + order.seconds) * 1000)
}

function finish(): void {
  sending = false
  const measured = latenciesUs.slice(answeredBefore, Math.min(answered, latenciesUs.length))
  const result: LoadResult = {
    requests: answered,
    requestsPerSecond: (answered - answeredBefore) / order.seconds,
    p50Us: quantile(measured, 0.5),
    p99Us: quantile(measured, 0.99),
    slowestUs: quantile(measured, 1),
    unexpected,
    errors,
  }
  // What is still under way gets a moment, so that the peer is not measured while it writes to closed connections.
  setTimeout(() => {
    process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
  }, 100)
}

begin()
