// What the gateway needs besides CPU time: the time to start, memory under load with a full cache, and idle connections.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { probe } from './answers.ts'
import { observe, untilQuiet, type Laboratory } from './measure.ts'
import { barePeer, gateway as gatewayServer } from './peers/node.ts'
import { startServer, type Running, type Site } from './peers/peer.ts'
import { writeRequests, wireRequests } from './requests.ts'
import type { Ground } from './site.ts'
import { spreadOf, type Spread } from './statistics.ts'
import { cachedRequest, idleConnections, pacedRequest } from './workloads.ts'

/** Milliseconds from the start of the process to the first sign that it serves; of undisturbed starts only. */
export interface Starts {
  readonly gateway: Spread | null
  readonly bare: Spread | null
}

/** What one run found. */
export interface Footprint {
  readonly starts: Starts
  readonly memory: Memory
}

export interface Memory {
  /** Bytes of stored answers while the memory was read, and the most there may be. */
  readonly cacheBytes: number
  /** Resident memory after a run of forwarded GETs at saturation. */
  readonly loadedBytes: number | null
  /** What so many idle connections add. */
  readonly idleBytes: number | null
}

/** Starts both in turn, and stops them again. */
export async function measureStarts(lab: Laboratory, site: Site, rounds: number): Promise<Starts> {
  const times = { gateway: [] as number[], bare: [] as number[] }
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, server] of [['gateway', gatewayServer] as const, ['bare', barePeer] as const]) {
      await untilQuiet(lab.accounting, lab.quietSeconds)
      const seen = observe(lab, null)
      const running = await startServer(server, site)
      const { foreignPercent } = seen(running.process)
      await running.process.stop()
      if (foreignPercent === null || foreignPercent <= lab.noisePercent) times[name].push(running.readyMs)
    }
  }
  return { gateway: spreadOf(times.gateway), bare: spreadOf(times.bare) }
}

/** A fresh gateway: the cache is filled, forwarded GETs at saturation, then idle connections. */
export async function measureMemory(
  lab: Laboratory,
  ground: Ground,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<Memory> {
  const gateway = await startServer(gatewayServer, ground.site)
  try {
    const rest = { connections, seconds, warmSeconds: 0, ratePerSecond: null }
    const cacheBytes = await fillCache(lab, ground, gateway, rest)
    const { order, requests } = ground.prepare(pacedRequest, gateway.port, rest)
    await lab.load.run(order)
    await lab.load.run(order)
    const loadedBytes = lab.accounting?.treeRssBytes(gateway.process.pid) ?? null
    const [request] = requests
    if (request === undefined) throw new Error('there is no caller')
    await probe(gateway.port, requests, 200)
    const idleBytes = await measureIdle(lab, gateway, request.bytes)
    return { cacheBytes, loadedBytes, idleBytes }
  } finally {
    await gateway.process.stop()
    ground.emptyRecords()
  }
}

/** Asks for ever other answers until the stored ones take no more room. */
async function fillCache(
  lab: Laboratory,
  ground: Ground,
  gateway: Running,
  rest: Parameters<Ground['prepare']>[2],
): Promise<number> {
  const { order } = ground.prepare(cachedRequest(0), gateway.port, rest)
  // One caller of each team: the teams' keys are what answers are kept by.
  const callers = ground.callers.filter(({ limited }) => !limited).slice(0, 5)
  const numbers = Array.from({ length: 8000 }, (_, number) => number)
  writeRequests(
    order.requestsFile,
    numbers.flatMap((number) => wireRequests(cachedRequest(number), callers)),
  )
  let before = -1
  let bytes = 0
  while (bytes > before * 1.02) {
    before = bytes
    await lab.load.run({ ...order, seconds: Math.max(6, order.seconds) })
    ground.emptyRecords()
    bytes = await cacheBytesOf(ground.site.ports.admin)
  }
  return bytes
}

async function cacheBytesOf(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/status`)
  // The gateway's own status.
  const { cache } = (await answer.json()) as { cache: { bytes: number } }
  return cache.bytes
}

/** Opens the connections, each for one answered request, and tells what they add to the resident memory. */
async function measureIdle({ accounting }: Laboratory, gateway: Running, bytes: string): Promise<number | null> {
  if (accounting === null) return null
  const before = accounting.treeRssBytes(gateway.process.pid)
  const open: Socket[] = []
  try {
    while (open.length < idleConnections) {
      open.push(...(await Promise.all(Array.from({ length: 100 }, () => answeredOnce(gateway.port, bytes)))))
    }
    await sleep(1000)
    const closed = open.filter((socket) => socket.destroyed || socket.readableEnded).length
    if (closed > 0) throw new Error(`${closed} idle connections did not stay open`)
    return accounting.treeRssBytes(gateway.process.pid) - before
  } finally {
    for (const socket of open) socket.destroy()
  }
}

async function answeredOnce(port: number, bytes: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  socket.write(bytes)
  await once(socket, 'data')
  socket.resume()
  return socket
}
