// What is compared, as data: how each server is started, and what it does with a request.

import { get } from 'node:http'
import { fileURLToPath } from 'node:url'
import type { Installation, Ports } from './installation.ts'
import { accepts, startProcess, untilReady, type RunningProcess } from './processes.ts'

export interface Site {
  readonly installation: Installation
  readonly ports: Ports & { readonly bare: number }
  readonly peerCore: number | null
}

export interface Peer {
  readonly id: 'gateway' | 'bare'
  readonly title: string
  /** Checks tokens and policies and swaps keys; a peer that does not passes everything on as it is. */
  readonly guards: boolean
  port(site: Site): number
  /** Arguments of Node. */
  arguments(site: Site): readonly string[]
  isReady(site: Site): Promise<boolean>
}

export interface RunningPeer {
  readonly peer: Peer
  readonly port: number
  readonly process: RunningProcess
  /** From the start of the process to the first sign that it serves. */
  readonly readyMs: number
}

const gatewayCommand = fileURLToPath(new URL('../bin/devin-gateway.mjs', import.meta.url))
const bareCommand = fileURLToPath(new URL('bare-proxy.ts', import.meta.url))

export const gatewayPeer: Peer = {
  id: 'gateway',
  title: 'devin-gateway, everything on',
  guards: true,
  port: ({ ports }) => ports.gateway,
  arguments: ({ installation }) => [gatewayCommand, 'start', '--config', installation.configFile],
  isReady: ({ ports }) => answersOk(ports.admin, '/readyz'),
}

export const barePeer: Peer = {
  id: 'bare',
  title: 'bare @fastify/http-proxy, no checks',
  guards: false,
  port: ({ ports }) => ports.bare,
  arguments: ({ ports }) => [bareCommand, String(ports.bare), String(ports.upstream)],
  isReady: ({ ports }) => accepts(ports.bare),
}

/** Starts a peer and waits until it serves. `nodeFlags` go before its own arguments. */
export async function startPeer(peer: Peer, site: Site, nodeFlags: readonly string[] = []): Promise<RunningPeer> {
  const startedMs = performance.now()
  const program = startProcess(process.execPath, [...nodeFlags, ...peer.arguments(site)], { core: site.peerCore })
  await untilReady(peer.title, program, () => peer.isReady(site))
  return { peer, port: peer.port(site), process: program, readyMs: performance.now() - startedMs }
}

function answersOk(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.once('error', () => resolve(false))
  })
}
