// What is compared: a server that can be put before the upstream, how it is started, and what it does with a request.

import type { Installation, Ports } from '../installation.ts'
import { startProcess, untilReady, type RunningProcess } from '../processes.ts'

export const peerIds = ['bare', 'haproxy', 'haproxy-memo', 'nginx', 'nginx-memo'] as const
export type PeerId = (typeof peerIds)[number]

export interface Site {
  readonly installation: Installation
  readonly ports: Ports & Readonly<Record<PeerId, number>>
  readonly peerCore: number | null
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  /** Beside the bench's own. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Server {
  readonly title: string
  /** Checks tokens and policies and swaps keys; a peer that does not passes everything on as it is. */
  readonly guards: boolean
  /** Name and version of what is installed; null when it is not. */
  installed(): string | null
  port(site: Site): number
  /** Writes what the server needs and says how it is started. `nodeFlags` matter to those that run on Node. */
  prepare(site: Site, nodeFlags: readonly string[]): Command
  isReady(site: Site): Promise<boolean>
}

/** A server to compare with. */
export interface Peer extends Server {
  readonly id: PeerId
}

export interface Running<Kind extends Server = Server> {
  readonly server: Kind
  readonly port: number
  readonly process: RunningProcess
  /** From the start of the process to the first sign that it serves. */
  readonly readyMs: number
}

/** Starts a server and waits until it serves. */
export async function startServer<Kind extends Server>(
  server: Kind,
  site: Site,
  nodeFlags: readonly string[] = [],
): Promise<Running<Kind>> {
  const { file, args, env = {} } = server.prepare(site, nodeFlags)
  const startedMs = performance.now()
  const program = startProcess(file, args, { core: site.peerCore, env })
  await untilReady(server.title, program, () => server.isReady(site))
  return { server, port: server.port(site), process: program, readyMs: performance.now() - startedMs }
}
