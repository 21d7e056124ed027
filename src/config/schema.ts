// The schema of config/gateway.yaml, from which the JSON schema and the reference are generated.

import { z } from 'zod'
import {
  listenTextForm,
  networkForm,
  originForm,
  parseListen,
  parseNetwork,
  parseUpstream,
} from './values/addresses.ts'
import { duration, size, text, textAs, textOrNumberAs } from './fields.ts'
import { checkpointsSchema } from './records/checkpoint-schema.ts'
import { issuersSchema } from './issuer-schema.ts'
import { adminSchema } from './operators/admin-schema.ts'
import { recordsSchema } from './records/records-schema.ts'
import { telemetrySchema } from './records/telemetry-schema.ts'
import { storeSchema } from './store-schema.ts'

/** Absolute paths; the files are read again when the certificate is renewed. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

export const stabilityClasses = ['stable', 'beta', 'early-access', 'deprecated', 'superseded', 'removed?'] as const
/** Served by default. */
export const usualStability: (typeof stabilityClasses)[number][] = ['stable', 'beta']
/** Default directory of the policies, relative to the configuration file. */
export const usualPolicies = '../policies'
export const usualAnonymousPerAddress = 18_000
const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const

// Node's timers hold at most 24 days; longer ones fire at once.
const timer = () => duration('1ms', '1d')

const tls = z.strictObject({
  cert: text().describe('Certificate chain, PEM file.'),
  key: text().describe('Private key of the certificate, PEM file.'),
})

const listen = z.strictObject({
  gateway: textOrNumberAs(parseListen('0.0.0.0'), { pattern: listenTextForm, number: { maximum: 65_535 } })
    .prefault('0.0.0.0:8080')
    .describe(`Callers' listener: host:port, "[::1]:8080", or a port alone. Port 0 takes any free one.`),
  admin: textOrNumberAs(parseListen('127.0.0.1'), { pattern: listenTextForm, number: { maximum: 65_535 } })
    .prefault('127.0.0.1:9090')
    .describe(
      "Operators' listener: health, metrics, status, console. A port alone means 127.0.0.1. Any other address than loopback needs `admin.auth`.",
    ),
  health: textOrNumberAs(parseListen('0.0.0.0'), { pattern: listenTextForm, number: { maximum: 65_535 } })
    .optional()
    .describe(
      'A listener of /livez, /readyz and /metrics alone, for probes and monitoring of other machines. A port alone means 0.0.0.0. Default: none.',
    ),
  tls: tls
    .optional()
    .describe(
      "TLS (and HTTP/2) for the callers' listener; also for the operators' listener when that is not loopback and has no certificate of its own.",
    ),
  admin_tls: tls.optional().describe("TLS for the operators' listener."),
  timeouts: z
    .strictObject({
      head: duration('100ms', '1h').prefault('10s').describe('Longest time for the head of a request to arrive.'),
      body: duration('100ms', '1d')
        .prefault('30s')
        .describe(
          'Longest time for a request body to arrive. A large upload may take longer while it keeps a least rate.',
        ),
      handshake: duration('100ms', '1h').prefault('10s').describe('Longest time for a TLS handshake.'),
    })
    .prefault({})
    .describe("How long the callers' listener waits for callers."),
  max_connections: z
    .int()
    .min(1, 'must be at least 1')
    .max(1_000_000, 'must be at most 1000000')
    .default(10_000)
    .describe("Most connections of the callers' listener at a time; more are refused."),
  max_connections_per_address: z
    .int()
    .min(0, 'must be at least 0')
    .max(1_000_000, 'must be at most 1000000')
    .default(0)
    .describe(
      'Most connections of one client address at a time. 0: no cap, because a balancer is one address. Those of `trusted_proxies` do not count.',
    ),
  max_anonymous: z
    .int()
    .min(0, 'must be at least 0')
    .default(30_000)
    .describe('Most requests without a valid token a minute, of all clients together. 0: no bound.'),
  max_anonymous_per_address: z
    .int()
    .min(0, 'must be at least 0')
    .optional()
    .describe(
      'Most requests without a valid token a minute, of one client address. 0: no bound. Default: 18000, or `max_anonymous` where that is less.',
    ),
  trusted_proxies: z
    .array(textAs(parseNetwork, { pattern: networkForm }))
    .default([])
    .describe(
      'Addresses and networks of balancers in front, like 10.0.0.0/8: the client address of their requests is the last one in X-Forwarded-For that is not among them.',
    ),
})

const upstream = z.strictObject({
  origin: textAs(parseUpstream, { pattern: originForm }).describe(
    'Address of the Devin API, with an optional path prefix. https; plain http only to loopback.',
  ),
  ca: text()
    .optional()
    .describe("CA certificates to trust, a PEM file. Default: the system's. Certificates are always verified."),
  timeouts: z
    .strictObject({
      connect: timer().prefault('5s').describe('Longest time to connect, TLS included.'),
      headers: timer()
        .prefault('60s')
        .describe('Longest wait for the head of a response, and for a connection while all are in use.'),
      body_idle: timer().prefault('60s').describe('Longest pause inside a response body.'),
    })
    .prefault({})
    .describe('Timeouts towards the upstream.'),
  connections: z
    .int()
    .min(1, 'must be at least 1')
    .max(65_535, 'must be at most 65535')
    .default(128)
    .describe('Most connections to the upstream at a time.'),
  max_waiting: z
    .int()
    .min(0, 'must be at least 0')
    .default(1024)
    .describe('Most requests that wait for a connection; more are refused as `overloaded`.'),
})

const noDirectory =
  'expected the path of a directory, found a mapping or a list: write policies: ../policies, and beside it shadow_policies: ../policies-next for a shadow set'

/** Schema of `config/gateway.yaml`. */
export const gatewaySchema = z
  .strictObject({
    listen: listen.prefault({}).describe('Listeners.'),
    upstream: upstream.describe('The Devin API.'),
    issuers: issuersSchema.describe('Identity providers whose tokens are accepted.'),
    admin: adminSchema.prefault({}).describe("Who may use the operators' listener."),
    policies: z
      .string({ error: ({ input }) => (typeof input === 'object' && input !== null ? noDirectory : undefined) })
      .min(1, 'must not be empty')
      .default(usualPolicies)
      .describe('Directory of the policies, relative to this file.'),
    shadow_policies: text()
      .optional()
      .describe(
        'Directory of a second whole set of policies, relative to this file: decided beside the one in force and never applied.',
      ),
    key_identity: z
      .enum(['enforce', 'report', 'off'])
      .default('enforce')
      .describe(
        'Whether Devin is asked who each key is (GET /v3/self): enforce quarantines a key that is another one than the inventory declares, report only tells, off does not ask.',
      ),
    catalogue: z
      .strictObject({
        stability: z
          .array(z.enum(stabilityClasses))
          .min(1, 'name at least one class, or remove the key')
          .default([...usualStability])
          .describe('Stability classes of the catalogue that are served.'),
        files: z.array(text()).default([]).describe('Extension files with further operations.'),
      })
      .prefault({})
      .describe('The catalogue of operations.'),
    cache: z
      .strictObject({
        max_size: size().prefault('64MiB').describe('Memory for cached responses.'),
        max_entry_size: size().prefault('1MiB').describe('Largest response that is cached.'),
        shared: z
          .unknown()
          .refine(() => false, {
            error:
              'cache.shared is gone, and with it the second level in the store: remove the key. Instances that share a store still drop together what a write makes stale',
            when: () => true,
          })
          .optional()
          .meta({ not: {} })
          .describe('Gone. Remove it.'),
      })
      .refine((cache) => cache.max_entry_size <= cache.max_size, {
        error: 'max_entry_size must not be larger than max_size',
        path: ['max_entry_size'],
      })
      .prefault({})
      .describe('The response cache.'),
    store: storeSchema
      .prefault('memory')
      .describe(
        'The store that instances share: `memory` (nothing is shared), the address of a Valkey or Redis, a list of addresses for a cluster, or a mapping.',
      ),
    budgets: z
      .strictObject({
        journal: text()
          .optional()
          .describe(
            'File that keeps spent and reserved amounts over restarts. Default: `budgets.journal` beside the audit log, else beside this file.',
          ),
        poll: duration('100ms', '1h')
          .prefault('30s')
          .describe('How often the consumption of running sessions is read.'),
        when_unavailable: z
          .enum(['refuse', 'allow'])
          .default('refuse')
          .describe('Creates under a budget while its state is unknown: `refuse` or `allow`.'),
      })
      .prefault({})
      .describe('Budgets of ACUs and sessions.'),
    records: recordsSchema.prefault({}).describe('Targets of the three record streams.'),
    checkpoints: checkpointsSchema
      .optional()
      .describe('Signed checkpoints of the audit log, kept in places outside, so that nobody can rewrite it unseen.'),
    telemetry: telemetrySchema.optional().describe('Traces by OpenTelemetry. Default: none.'),
    bodies: z
      .strictObject({
        max_size: size().prefault('256MiB').describe('Largest request body that is forwarded.'),
        max_judged_size: size().prefault('1MiB').describe('Largest request body that a rule can read.'),
      })
      .refine((bodies) => bodies.max_judged_size <= bodies.max_size, {
        error: 'max_judged_size must not be larger than max_size',
        path: ['max_judged_size'],
      })
      .prefault({})
      .describe('Limits on request bodies.'),
    shutdown: z
      .strictObject({
        delay: duration('0s', '10m')
          .prefault('1s')
          .describe('How long requests are still served after a stop signal, so that balancers notice.'),
        deadline: timer().prefault('30s').describe('How long requests in flight may take after that.'),
      })
      .prefault({})
      .describe('Shutdown.'),
    log: z
      .strictObject({ level: z.enum(logLevels).default('info').describe('Lowest level that is logged.') })
      .prefault({})
      .describe('The process log.'),
  })
  .describe(
    'Configuration of the gateway, read at start. ${NAME} and ${NAME:-default} take environment variables, in string values only.',
  )

/** The configuration as written, with defaults, units in numbers, and paths still relative. */
export type GatewayDocument = z.output<typeof gatewaySchema>
