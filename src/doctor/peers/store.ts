// The shared store: reached, allowed to do what the gateway asks, and set so that it forgets nothing.

import type { Config } from '../../config/load.ts'
import type { StoreConfig } from '../../config/store-schema.ts'
import { isLoopbackHost } from '../../config/values/addresses.ts'
import { inspectStore, type StoreInspection, type StoreNode } from '../../store/inspection.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'
import type { ClockReading } from '../network/clocks.ts'
import { addPeerFindings } from '../network/peer.ts'
import { probe, type ProbeTarget } from '../network/probe.ts'
import { counted } from '../../config/plural.ts'

const toleratedMs = 5_000

/** Null where nothing is shared. `keepsBudgets`: the policies have amounts that a restart must not forget. */
export function storeExamination(
  { store }: Pick<Config, 'store'>,
  keepsBudgets: boolean,
  onClock: (reading: ClockReading) => void,
): Examination | null {
  if (store === null) return null
  const about = store.nodes.map(({ host, port }) => `${host}:${port}`).join(', ')
  return {
    area: 'store',
    about,
    async examine(found, signal) {
      if (!(await addNodes(found, store, signal))) return
      const seen = await inspectStore(store, signal)
      if (seen.unreachable !== null) {
        found.error('login', ...unusable(seen.unreachable, about))
        return
      }
      if (seen.aheadMs !== null)
        onClock({
          name: 'the store',
          aheadMs: seen.aheadMs,
          toleratedMs,
          harm: 'Limits and budgets count by the clock of the store.',
        })
      addAbilities(found, seen, store)
      for (const node of seen.nodes) addNode(found, node, keepsBudgets)
      addExposure(found, store)
    },
  }
}

/** Whether at least one node takes connections. */
async function addNodes(found: Findings, { nodes, tls }: StoreConfig, signal: AbortSignal): Promise<boolean> {
  const words = { name: 'The store', setting: 'store', caSetting: 'store.ca' }
  const usable = await Promise.all(
    nodes.map(async ({ host, port }) => {
      const target: ProbeTarget = { host, port, tls }
      return addPeerFindings(found, target, words, await probe(target, null, signal))
    }),
  )
  return usable.includes(true)
}

function unusable(why: string, about: string): readonly [message: string, action: string] {
  if (/WRONGPASS|NOAUTH|invalid username|without any password|AUTH/i.test(why))
    return [
      `The store at ${about} does not accept the login: ${why}.`,
      'Check store.user and store.password, and the ACL of this user: ACL LIST at the store shows it.',
    ]
  if (/No such master/i.test(why))
    return [
      `The sentinels at ${about} do not know the store by the name in store.sentinel.`,
      'Correct store.sentinel: SENTINEL MASTERS at one of them lists the names.',
    ]
  if (/RESP type|Protocol error/i.test(why))
    return [
      `What answers at ${about} speaks another language than Valkey and Redis.`,
      'Check host and port in store, and whether the port is one for TLS (valkeys://).',
    ]
  return [
    `The store at ${about} takes connections and cannot be used: ${why}.`,
    'Look at the log of the store: it may be loading, stopped, or something else than Valkey or Redis.',
  ]
}

const acl = 'Give its user the rights of docs/deployment.md, "Several instances".'

function addAbilities(found: Findings, seen: StoreInspection, { timeoutMs }: StoreConfig): void {
  const { scriptFault, publishFault, infoFault, roundTripMs } = seen
  if (scriptFault === null) found.ok('scripts', 'scripts may write')
  else if (/OOM/.test(scriptFault))
    found.error(
      'full',
      `The store is full: ${scriptFault}.`,
      'Give it more memory (maxmemory). Until then each instance applies its share of the limits.',
    )
  else if (/READONLY/.test(scriptFault))
    found.error(
      'scripts',
      `The store is a replica and takes no writes: ${scriptFault}.`,
      'Write the address of the primary in store, or name sentinels, which know it.',
    )
  else if (/MISCONF/.test(scriptFault))
    found.error(
      'persistence',
      `The store takes no writes, because it cannot write its own disk: ${scriptFault}.`,
      'Look at the disk and the log of the store.',
    )
  else if (/^(?:NOPERM|NOAUTH|ERR)/.test(scriptFault))
    found.error('scripts', `The store refuses scripts that write: ${scriptFault}.`, acl)
  else
    found.error(
      'scripts',
      `A script that writes was not run by the store: ${scriptFault}.`,
      'Look at the log of the store; of a cluster all nodes have to run.',
    )
  if (publishFault !== null)
    found.error('messages', `The store refuses messages between instances: ${publishFault}.`, acl)
  if (infoFault !== null)
    found.skipped(
      'info',
      `The store does not tell how it is set: ${infoFault}.`,
      'Allow INFO to its user (+info), or ask whoever runs it for maxmemory-policy and persistence.',
    )
  if (roundTripMs === null) return
  const ms = Math.round(roundTripMs * 10) / 10
  if (roundTripMs > timeoutMs / 2)
    found.warning(
      'latency',
      `A call to the store takes ${ms} ms at best, and store.timeout is ${timeoutMs} ms: calls will be given up, and each instance then counts for itself.`,
      'Move the store nearer, or raise store.timeout.',
    )
  else found.ok('latency', `a call takes ${ms} ms; store.timeout is ${timeoutMs} ms`)
}

function addNode(found: Findings, node: StoreNode, keepsBudgets: boolean): void {
  const { address, server, evictionPolicy, evicted, maxBytes, usedBytes } = node
  if (isTooOld(node))
    found.error(
      'version',
      `The store at ${address} is ${server}.`,
      'The gateway needs Valkey 7.2, or Redis 6.2, or a later one.',
      address,
    )
  else found.ok('version', server, address)
  if (evictionPolicy !== null && evictionPolicy !== 'noeviction')
    found.error(
      'eviction',
      `The store at ${address} has maxmemory-policy ${evictionPolicy}: when it is full it silently forgets limits, blocks and budgets.${evicted > 0 ? ` It has already dropped ${counted(evicted, 'key')}.` : ''}`,
      'Set maxmemory-policy noeviction (CONFIG SET, and in its configuration file).',
      address,
    )
  else if (evictionPolicy !== null) found.ok('eviction', 'noeviction', address)
  if (maxBytes > 0 && usedBytes > maxBytes * 0.9)
    found.warning(
      'memory',
      `The store at ${address} has used ${Math.round((usedBytes / maxBytes) * 100)} % of its memory.`,
      'Give it more (maxmemory), or find out what else is kept in it.',
      address,
    )
  addPersistence(found, node, keepsBudgets)
}

function addPersistence(found: Findings, node: StoreNode, keepsBudgets: boolean): void {
  const { address, hasLog, snapshotAtMs, writeFailed, isReplica } = node
  if (isReplica)
    found.warning(
      'role',
      `The store at ${address} is a replica.`,
      'Write the address of the primary in store, or name sentinels, which know it.',
      address,
    )
  if (writeFailed)
    found.error(
      'persistence',
      `The store at ${address} could not write its latest state to its disk.`,
      'Look at the disk and the log of the store.',
      address,
    )
  else if (hasLog) found.ok('persistence', 'keeps a log of all writes', address)
  else if (keepsBudgets)
    found.warning(
      'persistence',
      `The policies have budgets, and the store at ${address} ${snapshotAtMs === null ? 'keeps nothing over a restart' : 'keeps snapshots alone'}: what was spent would be forgotten.`,
      'Set appendonly yes at the store (docs/budgets.md).',
      address,
    )
  else found.ok('persistence', 'keeps no log of writes; no budget needs one', address)
}

function isTooOld({ version, isValkey }: StoreNode): boolean {
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number)
  if (version === null || Number.isNaN(major)) return false
  // Valkey says 7.2 for compatibility, whatever it is.
  const [least, leastMinor] = isValkey ? [7, 2] : [6, 2]
  return major < least || (major === least && minor < leastMinor)
}

function addExposure(found: Findings, { nodes, tls, password }: StoreConfig): void {
  if (nodes.every(({ host }) => isLoopbackHost(host))) return
  if (tls === null)
    found.warning(
      'plain',
      'The connection to the store has no TLS: who can read or change it can take limits away and end blocks.',
      'Write valkeys:// in store, unless the network between encrypts by itself.',
    )
  if (password === null)
    found.warning(
      'open',
      'The store asks for no password: whoever reaches it can take limits away and end blocks.',
      'Give the gateway a user of its own at the store, and set store.user and store.password.',
    )
}
