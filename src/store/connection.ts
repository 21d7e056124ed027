// The connections to the store, on ioredis, which is used in this file only: one node, one found by sentinels, or a
// cluster; one kind for calls, one for listening.

import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import './reply-guard.ts'

/**
 * A TLS connection whose certificate is refused can fail a second time while it is torn down. The library listens for the first
 * failure only, and an error that nobody hears ends the process. No option of the library reaches its sockets, those to
 * sentinels least of all, but Node.js tells of each before it is used.
 */
subscribe('net.client.socket', (message) => {
  const { socket } = message as { readonly socket: Socket }
  socket.on('error', () => {
    // The user of the connection gets the error as well.
  })
})

export interface StoreSettings {
  /** `sentinel`: the nodes are sentinels. */
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  /** PEM of the authorities to trust, null for the system's; or null for no TLS. */
  readonly tls: { readonly ca: string | null } | null
  readonly sentinel: string | null
  readonly user: string | null
  readonly password: (() => string) | null
  readonly database: number
  readonly prefix: string
  /** Deadline of every call. */
  readonly timeoutMs: number
}

/** A connection for listening. */
export type ListenConnection = Redis

/** Opens the connection for calls; it connects again by itself until it is closed. */
export function openForCalls(settings: StoreSettings): Redis | Cluster {
  if (settings.kind !== 'cluster')
    return new Redis({ ...optionsFor(settings), ...placeOf(settings, 0), replyMapping: 'legacy' })
  return new Cluster([...settings.nodes], {
    redisOptions: { ...optionsFor(settings), replyMapping: 'legacy' },
    enableOfflineQueue: false,
    maxRedirections: 3,
    // Nothing is sent a second time: it may have been done the first time.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 0,
    slotsRefreshInterval: 1000,
    slotsRefreshTimeout: 1000,
    clusterRetryStrategy: pauseMs,
    // Certificates are for names, but the library would resolve names and connect to addresses.
    ...(settings.tls === null ? {} : { dnsLookup: (name, found) => found(null, name) }),
  })
}

/**
 * Opens a connection for listening: in a cluster to one of the nodes (messages reach all of them), another one with each
 * `attempt`. It does not connect again by itself, so that whoever listens knows when messages may be missed.
 */
export function openForListening(settings: StoreSettings, attempt: number): ListenConnection {
  return new Redis({
    ...optionsFor(settings),
    ...placeOf(settings, attempt),
    retryStrategy: null,
    replyMapping: 'legacy',
  })
}

function placeOf({ kind, nodes, sentinel, tls }: StoreSettings, attempt: number): RedisOptions {
  if (kind !== 'sentinel') return { ...nodes[attempt % nodes.length] }
  return {
    sentinels: [...nodes],
    name: sentinel ?? '',
    sentinelRetryStrategy: pauseMs,
    sentinelCommandTimeout: 1000,
    ...(tls === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tlsOf(tls) }),
  }
}

function optionsFor({ user, password, database, tls, timeoutMs, kind }: StoreSettings): RedisOptions {
  return {
    ...(user === null ? {} : { username: user }),
    ...(password === null ? {} : { password: password() }),
    ...(kind === 'cluster' ? {} : { db: database }),
    ...(tls === null ? {} : { tls: tlsOf(tls) }),
    connectionName: 'devin-gateway',
    disableClientInfo: true,
    connectTimeout: 2000,
    // A server that has stopped keeps its connections; without this a new one would wait for its greeting for ever.
    socketTimeout: Math.max(3000, 2 * timeoutMs),
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: pauseMs,
    // After a failover, connections to what is now a replica find the new primary by connecting again.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  }
}

function tlsOf({ ca }: { readonly ca: string | null }): { rejectUnauthorized: true; ca?: string } {
  return { rejectUnauthorized: true, ...(ca === null ? {} : { ca }) }
}

function pauseMs(times: number): number {
  return Math.min(50 * times, 500)
}
