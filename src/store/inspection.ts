// Looks at a store from outside of its client: what server it is, how it is set, and whether it does what the gateway needs.

import { Cluster, type Redis } from 'ioredis'
import { openForCalls, type StoreSettings } from './connection.ts'

/** One node as `INFO` tells of it. */
export interface StoreNode {
  readonly address: string
  /** "Valkey 8.1.1". */
  readonly server: string
  /** Of compatibility: 7.2 for Valkey 8. Null where it does not say it. */
  readonly version: string | null
  readonly isValkey: boolean
  readonly evictionPolicy: string | null
  /** 0: no limit. */
  readonly maxBytes: number
  readonly usedBytes: number
  readonly evicted: number
  /** It has a log of all writes. */
  readonly hasLog: boolean
  /** When it last wrote a snapshot, milliseconds since the epoch; null: never. */
  readonly snapshotAtMs: number | null
  /** Its latest snapshot or its log could not be written. */
  readonly writeFailed: boolean
  readonly isReplica: boolean
}

export interface StoreInspection {
  /** Why there is no connection; null where there is one. */
  readonly unreachable: string | null
  readonly nodes: readonly StoreNode[]
  /** Why INFO is not answered. */
  readonly infoFault: string | null
  /** Why a script that writes is refused. */
  readonly scriptFault: string | null
  /** Why a message cannot be sent. */
  readonly publishFault: string | null
  /** How far the store's clock is ahead; null where it does not tell. */
  readonly aheadMs: number | null
  /** The shortest of several round trips; null without one. */
  readonly roundTripMs: number | null
}

const probeScript = `redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000)
redis.call('DEL', KEYS[1])
return redis.call('TIME')`
const roundTrips = 3

/** Never rejects. Writes one key of a second's life, and removes it. */
export async function inspectStore(settings: StoreSettings, signal: AbortSignal): Promise<StoreInspection> {
  const connection = openForCalls(settings)
  let trouble: string | null = null
  const note = (error: unknown): void => void (trouble = textOf(error))
  connection.on('error', note)
  connection.on('node error', note)
  const nothing = {
    nodes: [],
    infoFault: null,
    scriptFault: null,
    publishFault: null,
    aheadMs: null,
    roundTripMs: null,
  }
  try {
    if (!(await isReady(connection, signal, () => trouble)))
      return { ...nothing, unreachable: trouble ?? 'it gives no answer' }
    const key = `${settings.prefix}:{doctor}:probe`
    const written = await orText(connection.call('EVAL', probeScript, 1, key, '1'))
    const timed = await timeOf(connection)
    const published = await orText(connection.publish(`${settings.prefix}:doctor`, ''))
    const info = await orText(Promise.all(nodesOf(connection, settings).map(readNode)))
    return {
      unreachable: null,
      nodes: 'text' in info ? [] : info.value,
      infoFault: 'text' in info ? info.text : null,
      scriptFault: 'text' in written ? written.text : null,
      publishFault: 'text' in published ? published.text : null,
      ...timed,
    }
  } finally {
    connection.disconnect()
  }
}

/** A connection that fails is tried again until the time is over: the first answer of a node that loads is no failure. */
function isReady(connection: Redis | Cluster, signal: AbortSignal, trouble: () => string | null): Promise<boolean> {
  return new Promise((resolve) => {
    if (connection.status === 'ready') resolve(true)
    connection.once('ready', () => resolve(true))
    connection.on('close', () => {
      // What will not change by waiting.
      if (/WRONGPASS|NOAUTH|NOPERM|CERT|SELF_SIGNED|ECONNREFUSED|ENOTFOUND|certificate|ssl/i.test(trouble() ?? ''))
        resolve(false)
    })
    signal.addEventListener('abort', () => resolve(false), { once: true })
  })
}

function nodesOf(
  connection: Redis | Cluster,
  { nodes, sentinel }: StoreSettings,
): readonly { redis: Redis; address: string }[] {
  if (connection instanceof Cluster)
    return connection
      .nodes('master')
      .map((redis) => ({ redis, address: `${redis.options.host}:${redis.options.port}` }))
  const [first] = nodes
  if (sentinel !== null) return [{ redis: connection, address: `the primary of ${sentinel}` }]
  return [{ redis: connection, address: first === undefined ? '' : `${first.host}:${first.port}` }]
}

async function readNode({ redis, address }: { redis: Redis; address: string }): Promise<StoreNode> {
  const info = String(await redis.call('INFO'))
  const fields = new Map(
    info.split(/\r?\n/).flatMap((line): [string, string][] => {
      const at = line.indexOf(':')
      return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1)]]
    }),
  )
  const number = (name: string): number => Number(fields.get(name) ?? 0)
  const valkey = fields.get('valkey_version')
  const version = fields.get('redis_version') ?? null
  const snapshotAtMs = number('rdb_last_save_time') * 1000
  return {
    address,
    server: valkey === undefined ? `Redis ${version ?? 'of an unknown version'}` : `Valkey ${valkey}`,
    version,
    isValkey: valkey !== undefined,
    evictionPolicy: fields.get('maxmemory_policy') ?? null,
    maxBytes: number('maxmemory'),
    usedBytes: number('used_memory'),
    evicted: number('evicted_keys'),
    hasLog: fields.get('aof_enabled') === '1',
    // At its start it says its own start.
    snapshotAtMs: number('rdb_saves') > 0 ? snapshotAtMs : null,
    writeFailed:
      fields.get('rdb_last_bgsave_status') === 'err' ||
      (fields.get('aof_enabled') === '1' && fields.get('aof_last_write_status') === 'err'),
    isReplica: fields.get('role') === 'slave',
  }
}

async function timeOf(connection: Redis | Cluster): Promise<Pick<StoreInspection, 'aheadMs' | 'roundTripMs'>> {
  let best: { aheadMs: number; roundTripMs: number } | null = null
  for (let trip = 0; trip < roundTrips; trip++) {
    const beganMs = performance.now()
    const answer = await orText(connection.call('TIME'))
    const roundTripMs = performance.now() - beganMs
    if ('text' in answer || !Array.isArray(answer.value)) return { aheadMs: null, roundTripMs: null }
    const [seconds, micros] = answer.value.map(Number)
    const storeMs = (seconds ?? 0) * 1000 + (micros ?? 0) / 1000
    if (best === null || roundTripMs < best.roundTripMs)
      best = { aheadMs: storeMs - (Date.now() - roundTripMs / 2), roundTripMs }
  }
  return best ?? { aheadMs: null, roundTripMs: null }
}

async function orText<T>(work: Promise<T>): Promise<{ readonly value: T } | { readonly text: string }> {
  return await work.then(
    (value) => ({ value }),
    (error: unknown) => ({ text: textOf(error) }),
  )
}

/** What a server or a socket said; neither repeats a value. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return textOf(error.errors[0])
  const text = error instanceof Error ? error.message : String(error)
  return text === ''
    ? String(error instanceof Error && 'code' in error ? error.code : error)
    : text.slice(0, 200).replace(/\.$/, '')
}
