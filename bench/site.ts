// The ground that a measurement stands on: ports, the single sign-on, the gateway's installation, and taking it all down.

import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../test/support/free-ports.ts'
import { startIdentity, type Caller } from './identity.ts'
import { createInstallation, type InstallationOptions } from './installation.ts'
import type { LoadOrder } from './load.ts'
import { peerIds, type Site } from './peers/peer.ts'
import { coresToUse, type RunningProcess } from './processes.ts'
import { wireRequests, writeRequests, type WireRequest } from './requests.ts'
import type { RequestSpec } from './workloads.ts'

export interface Ground {
  readonly site: Site
  readonly callers: readonly Caller[]
  /** The single sign-on, which the gateway asks for its keys from time to time. */
  readonly identity: RunningProcess
  /** The core for load, upstream and single sign-on; null for any. */
  readonly loadCore: number | null
  /** Writes the requests of a kind to a file; gives the options for a load generator, and the requests. */
  prepare(spec: RequestSpec, port: number, order: OrderRest): { order: LoadOrder; requests: readonly WireRequest[] }
  /** Empties the record files that grow with every request. */
  emptyRecords(): void
  /** What to do at the end; the last one added is done first. */
  onClose(close: () => Promise<void> | void): void
  close(): Promise<void>
}

export type OrderRest = Omit<LoadOrder, 'port' | 'requestsFile' | 'status'>

export interface GroundOptions extends InstallationOptions {
  /** Whether the measured server gets a core to itself, where that is possible. */
  readonly pinned?: boolean
}

/** Makes the ground. Nothing of the gateway or its peers runs yet. */
export async function openGround({ pinned = true, ...options }: GroundOptions = {}): Promise<Ground> {
  const closers: (() => Promise<void> | void)[] = []
  const cores = pinned ? coresToUse() : null
  const ports = await portsOf(['identity', 'gateway', 'admin', 'upstream', ...peerIds] as const)
  const identity = await startIdentity(ports.identity, cores?.load ?? null)
  closers.push(() => identity.process.stop())
  const installation = createInstallation(ports, identity, options)
  closers.push(() => installation.remove())
  // Also when the bench is interrupted: the keys are worthless, the directory is litter.
  process.once('exit', () => installation.remove())
  let files = 0
  return {
    site: { installation, ports, peerCore: cores?.peer ?? null },
    callers: identity.callers,
    identity: identity.process,
    loadCore: cores?.load ?? null,
    prepare(spec, port, rest) {
      const requests = wireRequests(spec, identity.callers)
      files += 1
      const requestsFile = join(installation.directory, `requests-${files}`)
      writeRequests(requestsFile, requests)
      return { requests, order: { ...rest, port, requestsFile, status: spec.status } }
    },
    emptyRecords() {
      for (const file of Object.values(installation.records)) truncateSync(file)
    },
    onClose: (close) => void closers.push(close),
    async close() {
      for (const close of closers.splice(0).toReversed()) await close()
    },
  }
}

async function portsOf<Name extends string>(names: readonly Name[]): Promise<Readonly<Record<Name, number>>> {
  const free = await freePorts(names.length)
  // Every name has its entry.
  return Object.fromEntries(names.map((name, index) => [name, free[index]])) as Record<Name, number>
}
