import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatDiagnostic, Refused } from '../../src/config/diagnostics.ts'
import { inNetworks } from '../../src/config/values/addresses.ts'
import { descriptorLimit } from '../../src/config/values/descriptors.ts'
import { loadConfig, type Config } from '../../src/config/load.ts'
import { makeSelfSigned } from '../identity/self-signed.ts'

let folder = ''
const certificate = makeSelfSigned('gateway.corp.example')
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-config-'))
  await mkdir(join(folder, 'certs'))
  const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  })
  const files: Readonly<Record<string, string | Buffer>> = {
    'server.pem': certificate.cert,
    'server.key': certificate.key,
    'other.key': otherKey,
    'damaged.pem': `${certificate.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
    'note.txt': 'not a certificate',
    'binary.pem': Buffer.from([0xff, 0xfe, 0x00]),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, 'certs', name), content)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const least =
  'upstream:\n  origin: https://api.corp.example\nissuers:\n  - issuer: https://sso.corp.example\n    audience: devin-gateway\n'

async function load(text: string, env: Readonly<Record<string, string | undefined>> = {}): Promise<Config> {
  const file = join(folder, 'gateway.yaml')
  await writeFile(file, text)
  return (await loadConfig(file, env)).config
}

/** What `check` would print, with the folder left out. */
async function problems(text: string, env: Readonly<Record<string, string | undefined>> = {}): Promise<string[]> {
  const refused = await load(text, env).then(
    () => null,
    (error: unknown) => error,
  )
  if (!(refused instanceof Refused)) throw new Error('the configuration should be refused')
  return refused.diagnostics.map((diagnostic) => formatDiagnostic(diagnostic).replaceAll(`${folder}/`, ''))
}

describe('checkpoints', () => {
  const withPlaces = (to: string, more = ''): string =>
    `${least}checkpoints:\n  key: { file: keys/audit.pem }\n  to: [${to}]\n${more}`

  it('go to places of four kinds, with the paths made absolute', async () => {
    const to =
      '{ file: out/checkpoints }, { stdout: true }, { http: https://audit.corp.example/take }, { syslog: udp://log.corp.example }, { syslog: "tcp://[::1]:1514" }, { syslog: tls://log.corp.example }, { syslog: unix:/run/syslog.sock }'
    expect((await load(withPlaces(to, '  origin: corp/eu\n  every: 30s\n'))).checkpoints).toEqual({
      origin: 'corp/eu',
      key: { file: join(folder, 'keys/audit.pem') },
      everyMs: 30_000,
      targets: [
        { kind: 'file', file: join(folder, 'out/checkpoints') },
        { kind: 'stdout' },
        { kind: 'http', url: 'https://audit.corp.example/take' },
        { kind: 'syslog', protocol: 'udp', host: 'log.corp.example', port: 514 },
        { kind: 'syslog', protocol: 'tcp', host: '::1', port: 1514 },
        { kind: 'syslog', protocol: 'tls', host: 'log.corp.example', port: 6514 },
        { kind: 'syslog', protocol: 'unix', path: '/run/syslog.sock' },
      ],
    })
  })

  it.each([
    ['', 'gateway.yaml:8:7: name at least one place'],
    ['{}', 'gateway.yaml:8:8: a place is exactly one of file, syslog, http, stdout'],
    ['{ file: a, stdout: true }', 'gateway.yaml:8:8: a place is exactly one of file, syslog, http, stdout'],
    ['{ sysolg: udp://x }', 'gateway.yaml:8:10: unknown key "sysolg"; did you mean "syslog"?'],
    ['{ http: http://audit.corp.example }', /plain http is accepted only to loopback/],
    ['{ syslog: log.corp.example }', /must be udp:\/\/HOST:PORT, tcp:\/\/HOST:PORT, tls:\/\/HOST:PORT or unix:\/PATH/],
    ['{ syslog: "udp://x:99999" }', /has a port that does not exist/],
  ])('are refused with a place like %j', async (to, message) => {
    expect((await problems(withPlaces(to)))[0]).toEqual(
      typeof message === 'string' ? message : expect.stringMatching(message),
    )
  })

  it('are refused with a key that is written there, with a name of two words, and in a file of records', async () => {
    const inline = withPlaces('{ stdout: true }').replace('{ file: keys/audit.pem }', 'MC4CAQAwBQYDK2VwBCIE')
    expect(await problems(inline)).toEqual([expect.stringContaining('a key is never written here')])
    expect((await problems(inline)).join()).not.toContain('MC4CAQ')
    expect(await problems(withPlaces('{ stdout: true }', '  origin: two words\n'))).toEqual([
      expect.stringContaining('must be a name without white space'),
    ])
    expect(await problems(withPlaces('{ file: audit.ndjson }', 'records: { audit: audit.ndjson }\n'))).toEqual([
      expect.stringContaining('a checkpoint needs a place of its own'),
    ])
  })
})

describe('the configuration', () => {
  it('has a default for everything but the upstream and the issuers', async () => {
    expect(await load(least)).toEqual({
      file: join(folder, 'gateway.yaml'),
      filesOfStart: [join(folder, 'gateway.yaml')],
      blocksFile: join(folder, 'blocks.json'),
      listen: {
        gateway: { host: '0.0.0.0', port: 8080 },
        admin: { host: '127.0.0.1', port: 9090 },
        health: null,
        tls: null,
        adminTls: null,
        timeouts: { headMs: 10_000, bodyMs: 30_000, handshakeMs: 10_000 },
        maxConnections: 10_000,
        maxConnectionsPerAddress: 0,
        maxAnonymous: 30_000,
        maxAnonymousPerAddress: 18_000,
        trustedProxies: [],
      },
      upstream: {
        origin: 'https://api.corp.example',
        pathPrefix: '',
        ca: null,
        timeouts: { connectMs: 5000, headersMs: 60_000, bodyIdleMs: 60_000 },
        connections: 128,
        maxWaiting: 1024,
      },
      admin: { url: null, open: ['/livez', '/readyz', '/metrics'], auth: null },
      issuers: [
        {
          issuer: 'https://sso.corp.example',
          audience: ['devin-gateway'],
          jwksUri: null,
          algorithms: ['RS256', 'ES256'],
          clockToleranceMs: 30_000,
          maxLifetimeMs: 86_400_000,
          emailVerified: 'optional',
          ca: null,
          claims: { subject: 'sub', email: 'email', groups: 'groups', app: 'azp' },
        },
      ],
      policiesDirectory: join(folder, '../policies'),
      shadowPoliciesDirectory: null,
      catalogue: { stability: ['stable', 'beta'], files: [] },
      cache: { maxBytes: 67_108_864, maxEntryBytes: 1_048_576 },
      store: null,
      budgets: { journalFile: join(folder, 'budgets.journal'), pollMs: 30_000, whenUnavailable: 'refuse' },
      secretFiles: [],
      records: { access: 'stdout', decisions: 'stdout', audit: 'stdout' },
      recordRotation: null,
      checkpoints: null,
      keyIdentity: 'enforce',
      telemetry: null,
      bodies: { maxBytes: 268_435_456, maxJudgedBytes: 1_048_576 },
      shutdown: { delayMs: 1000, deadlineMs: 30_000 },
      log: { level: 'info' },
    })
  })

  it('warns of caps of one address above those of all, and of connections for which there are no descriptors', async () => {
    await writeFile(
      join(folder, 'gateway.yaml'),
      `${least}listen:
  max_connections: 999999
  max_connections_per_address: 1000000
  max_anonymous: 100
  max_anonymous_per_address: 101
`,
    )
    const { config, warnings } = await loadConfig(join(folder, 'gateway.yaml'), {})
    expect(config.listen.maxConnections).toBe(999_999)
    const most = descriptorLimit()
    expect(warnings.map(({ line, message }) => `${line}: ${message}`)).toEqual([
      '8: max_connections_per_address is 1000000, more than max_connections (999999), which comes first: write at most that, or 0 for no bound of one address',
      '10: max_anonymous_per_address is 101, more than max_anonymous (100), which comes first: write at most that, or 0 for no bound of one address',
      ...(most > 1_100_000
        ? []
        : [
            `7: max_connections is 999999, which needs a limit of 1000383 open files, and that of this process is ${most}. Raise it (ulimit -n, LimitNOFILE of systemd), or write at most ${most - 384}`,
          ]),
    ])
  })

  it.each([
    ['max_anonymous: 50', 50, 50],
    ['max_anonymous: 0', 0, 18_000],
    ['max_anonymous: 50000, max_anonymous_per_address: 0', 50_000, 0],
  ])('bounds requests without a token of one address by those of all: %s', async (written, inAll, ofAddress) => {
    const { maxAnonymous, maxAnonymousPerAddress } = (await load(`${least}listen: { ${written} }\n`)).listen
    expect([maxAnonymous, maxAnonymousPerAddress]).toEqual([inAll, ofAddress])
  })

  it('takes addresses and networks as trusted proxies, and nothing else', async () => {
    const { listen } = await load(`${least}listen: { trusted_proxies: [10.0.0.7, 10.0.0.0/8, "2001:db8::/32"] }\n`)
    expect(listen.trustedProxies).toEqual([
      { address: '10.0.0.7', bits: 32 },
      { address: '10.0.0.0', bits: 8 },
      { address: '2001:db8::', bits: 32 },
    ])
    const isProxy = inNetworks(listen.trustedProxies)
    expect(['10.9.9.9', '::ffff:10.1.1.1', '2001:db8:1::1', '11.0.0.1', '2001:db9::1', 'unknown'].map(isProxy)).toEqual(
      [true, true, true, false, false, false],
    )
    await expect(load(`${least}listen: { trusted_proxies: [10.0.0.0/33, balancer, all] }\n`)).rejects.toThrow()
  })

  it('comes in final values: milliseconds, bytes, absolute paths, PEM text', async () => {
    const config = await load(`
listen:
  gateway: "[::1]:8443"
  admin: 9191
  tls: { cert: certs/server.pem, key: certs/server.key }
  timeouts: { head: 500ms, body: 2m, handshake: 3s }
  max_connections: 20
  max_connections_per_address: 5
upstream:
  origin: http://127.0.0.1:4010/devin/
  ca: certs/server.pem
  timeouts: { connect: 250ms, headers: 2m, body_idle: 1h }
  connections: 7
  max_waiting: 0
issuers:
  - issuer: https://sso.corp.example
    audience: [a, b]
    jwks_uri: https://sso.corp.example/jwks
    algorithms: [EdDSA]
    ca: certs/server.pem
    email_verified: required
    clock_tolerance: 0s
    max_lifetime: 1h
    claims: { subject: user.id, email: mail, groups: realm_access.roles, app: client_id }
  - issuer: http://localhost:4020
    audience: c
policies: ./policies
catalogue: { stability: [stable, "removed?"], files: [more.yaml, /etc/ext.yaml] }
cache: { max_size: 10MB, max_entry_size: 1000 }
store: memory
budgets: { poll: 5s, when_unavailable: allow }
records:
  access: stderr
  decisions: log/decisions.ndjson
  audit: /var/log/audit.ndjson
  rotate: { size: 10MiB, daily: false, compress: zstd, keep: 90d, keep_size: 2GiB }
telemetry: { otlp: https://collector.corp.example/tenants/a/, sample: 0.25 }
bodies: { max_size: 1GiB, max_judged_size: 512KiB }
shutdown: { delay: 0s, deadline: 5m }
log: { level: debug }
`)
    expect(config).toMatchObject({
      listen: {
        gateway: { host: '::1', port: 8443 },
        admin: { host: '127.0.0.1', port: 9191 },
        tls: { certFile: join(folder, 'certs/server.pem'), keyFile: join(folder, 'certs/server.key') },
        timeouts: { headMs: 500, bodyMs: 120_000, handshakeMs: 3000 },
        maxConnections: 20,
        maxConnectionsPerAddress: 5,
      },
      upstream: {
        origin: 'http://127.0.0.1:4010',
        pathPrefix: '/devin',
        ca: certificate.cert,
        timeouts: { connectMs: 250, headersMs: 120_000, bodyIdleMs: 3_600_000 },
        connections: 7,
        maxWaiting: 0,
      },
      policiesDirectory: join(folder, 'policies'),
      catalogue: { stability: ['stable', 'removed?'], files: [join(folder, 'more.yaml'), '/etc/ext.yaml'] },
      cache: { maxBytes: 10_000_000, maxEntryBytes: 1000 },
      budgets: { journalFile: '/var/log/budgets.journal', pollMs: 5000, whenUnavailable: 'allow' },
      records: { access: 'stderr', decisions: join(folder, 'log/decisions.ndjson'), audit: '/var/log/audit.ndjson' },
      recordRotation: {
        maxBytes: 10_485_760,
        daily: false,
        compress: 'zstd',
        keepMs: 7_776_000_000,
        keepBytes: 2_147_483_648,
      },
      telemetry: { url: 'https://collector.corp.example/tenants/a/v1/traces', ca: null, headers: {}, sample: 0.25 },
      bodies: { maxBytes: 1_073_741_824, maxJudgedBytes: 524_288 },
      shutdown: { delayMs: 0, deadlineMs: 300_000 },
      log: { level: 'debug' },
    })
    expect(config.issuers).toMatchObject([
      {
        audience: ['a', 'b'],
        jwksUri: 'https://sso.corp.example/jwks',
        algorithms: ['EdDSA'],
        ca: certificate.cert,
        emailVerified: 'required',
        clockToleranceMs: 0,
        maxLifetimeMs: 3_600_000,
        claims: { subject: 'user.id', email: 'mail', groups: 'realm_access.roles', app: 'client_id' },
      },
      { issuer: 'http://localhost:4020', audience: ['c'] },
    ])
  })

  it('takes variables in string values from the environment that is passed in', async () => {
    const text = least
      .replace('https://api.corp.example', '${ORIGIN}')
      .replace('devin-gateway', '${AUDIENCE:-fallback}')
    const config = await load(text, { ORIGIN: 'https://elsewhere.corp.example' })
    expect(config.upstream.origin).toBe('https://elsewhere.corp.example')
    expect(config.issuers[0]?.audience).toEqual(['fallback'])
    expect(await problems(text)).toEqual([
      'gateway.yaml:2:11: the environment variable ORIGIN is not set: set it, or give a default with ${ORIGIN:-default}',
    ])
    expect(await problems(text, { ORIGIN: 'http://secret-host.corp.example' })).toEqual([
      'gateway.yaml:2:11: "${ORIGIN}" must begin with https://: plain http is accepted only to loopback (localhost, 127.0.0.1, [::1])',
    ])
  })
})

describe('a configuration that cannot be read', () => {
  it('is one clear message', async () => {
    const message = async (file: string) =>
      await loadConfig(file, {}).catch((error: unknown) => (error instanceof Refused ? error.message : error))
    expect(await message('/nowhere/gateway.yaml')).toBe(
      '/nowhere/gateway.yaml: the configuration cannot be read: there is no such file',
    )
    expect(await message(folder)).toBe(`${folder}: the configuration cannot be read: it is a directory`)
    expect(await message(join(folder, 'certs/binary.pem'))).toBe(
      `${folder}/certs/binary.pem: the configuration cannot be read: it is not UTF-8 text`,
    )
  })

  it('says what an empty one should hold', async () => {
    expect(await problems('')).toEqual(['gateway.yaml:1:1: the file is empty: it should hold upstream and issuers'])
    expect(await problems('listen: { gateway: 8080 }\n')).toEqual([
      'gateway.yaml:1:1: missing key "issuers"',
      'gateway.yaml:1:1: missing key "upstream"',
    ])
  })
})

describe('a mistake in the configuration', () => {
  const issuer = (line: string) => `${least}    ${line}\n`
  const duration = 'write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d'

  it.each<[string, string, string[]]>([
    [
      'an unknown key at the top',
      `${least}cach: {}\n`,
      ['gateway.yaml:6:1: unknown key "cach"; did you mean "cache"?'],
    ],
    [
      'an unknown key inside',
      issuer('algoritms: [RS256]'),
      ['gateway.yaml:6:5: unknown key "algoritms"; did you mean "algorithms"?'],
    ],
    [
      'a key of another version',
      `${least}reload: { every: 1s }\n`,
      [
        'gateway.yaml:6:1: unknown key "reload": the keys here are listen, upstream, issuers, admin, policies, shadow_policies, key_identity, catalogue, cache, store, budgets, records, checkpoints, telemetry, bodies, shutdown, log',
      ],
    ],
    ...[
      [
        '/srv/policies',
        '/srv/policies is the directory of the policies in force: name a copy of it that holds the next set',
      ],
      [
        '/srv/policies/next/',
        "/srv/policies/next and the policies in force at /srv/policies lie in each other, and would read each other's files: put them side by side",
      ],
      [
        '/srv',
        "/srv and the policies in force at /srv/policies lie in each other, and would read each other's files: put them side by side",
      ],
    ].map(([shadow = '', message = '']): [string, string, string[]] => [
      `a shadow set at ${shadow}`,
      `${least}policies: /srv/policies\nshadow_policies: ${shadow}\n`,
      [`gateway.yaml:7:18: ${message}`],
    ]),
    [
      'no address of a store',
      `${least}store: store:6379\n`,
      [
        'gateway.yaml:6:8: "store:6379" is not the address of a store: write memory, or an address like valkey://host:6379/0 (valkeys:// for TLS; redis:// and rediss:// mean the same)',
      ],
    ],
    ...[
      ['collector:4318', '"collector:4318" is not an absolute URL: write one like http://collector:4318'],
      ['ftp://collector', '"ftp://collector" must begin with https://'],
      ['http://me:pw@collector:4318', 'a URL must not hold user information (what stands before "@")'],
      ['http://collector:4318/?a=b', '"http://collector:4318/?a=b" must not have a query or a fragment'],
      [
        'http://collector:4317',
        '"http://collector:4317" is the port for gRPC: write the one for OTLP over HTTP, usually 4318',
      ],
    ].map(([otlp, message]): [string, string, string[]] => [
      `a collector ${otlp}`,
      `${least}telemetry: { otlp: "${otlp}" }\n`,
      [`gateway.yaml:6:20: ${message}`],
    ]),
    [
      'a rotation of nothing',
      `${least}records: { rotate: {} }\n`,
      ['gateway.yaml:6:20: there is no file to rotate: name one in access, decisions or audit, or remove the key'],
    ],
    [
      'header fields for a collector that plain http would show, and an authority for no certificate',
      `${least}telemetry: { otlp: http://collector:4318, ca: ca.pem, headers: { x-key: { file: key } } }\n`,
      [
        'gateway.yaml:6:20: header fields hold secrets, which plain http would show: write https://, or the address of a collector on this machine',
        'gateway.yaml:6:47: ca.pem: there is no such file',
        'gateway.yaml:6:47: plain http shows no certificate: write https:// in otlp, or remove the key',
        'gateway.yaml:6:81: key: there is no such file',
      ],
    ],
    [
      'header fields for a collector whose values are nowhere, or that are none',
      `${least}telemetry:
  otlp: http://localhost:4318
  headers:
    authorization: "Bearer cog_0123456789abcdef"
    x-key: { env: MISSING_KEY }
    x-other: { env: A, file: b }
    Content-Type: { env: PATH }
    "x y": { env: PATH }
`,
      [
        'gateway.yaml:9:20: the value of a header field is never written here: write { env: NAME } or { file: PATH }',
        'gateway.yaml:11:14: a secret has exactly one source: write { env: NAME } or { file: PATH }, or name one of exec, vault, aws, google, azure',
        'gateway.yaml:12:5: the gateway writes the header field "Content-Type" itself: remove the key',
        'gateway.yaml:13:5: "x y" is no name of a header field, such as authorization',
      ],
    ],
    [
      'a header field for a collector whose value is not there',
      `${least}telemetry: { otlp: "http://localhost:4318", headers: { x-key: { env: NO_SUCH_VARIABLE } } }\n`,
      [
        'gateway.yaml:6:70: the environment variable NO_SUCH_VARIABLE is not set: it should hold the header field x-key',
      ],
    ],
    [
      'a share of traces beyond all',
      `${least}telemetry: { otlp: http://collector:4318, sample: 1.5 }\n`,
      ['gateway.yaml:6:51: must be at most 1'],
    ],
    ...[true, false, '{ ttl: 1 }'].map((shared): [string, string, string[]] => [
      `a second level of the cache: ${shared}`,
      `${least}cache: { shared: ${shared} }\n`,
      [
        'gateway.yaml:6:18: cache.shared is gone, and with it the second level in the store: remove the key. Instances that share a store still drop together what a write makes stale',
      ],
    ]),
    [
      'no issuer',
      'upstream: { origin: https://api.corp.example }\nissuers: []\n',
      ['gateway.yaml:2:10: name at least one issuer: without one nobody could call anything'],
    ],
    [
      'the same issuer twice',
      `${least}  - issuer: https://sso.corp.example\n    audience: other\n`,
      ['gateway.yaml:6:13: issuer "https://sso.corp.example" appears twice'],
    ],
    [
      'no audience',
      least.replace('audience: devin-gateway', 'audience: []'),
      ['gateway.yaml:5:15: name at least one audience'],
    ],
    ['an empty audience', least.replace('devin-gateway', '[a, ""]'), ['gateway.yaml:5:19: must not be empty']],
    [
      'an audience that is no text',
      least.replace('devin-gateway', '0123'),
      ['gateway.yaml:5:15: expected a string or a list, but YAML reads 0123 as the number 123: put it in quotes'],
    ],
    [
      'unsigned tokens',
      issuer('algorithms: [none]'),
      ['gateway.yaml:6:18: algorithm "none" is never accepted: anybody could write such a token'],
    ],
    [
      'symmetric signatures',
      issuer('algorithms: [RS256, HS256]'),
      [
        'gateway.yaml:6:25: algorithm "HS256" is never accepted: it is symmetric, so whoever can check a token could also make one',
      ],
    ],
    [
      'a misspelt algorithm',
      issuer('algorithms: [RS265]'),
      ['gateway.yaml:6:18: unknown algorithm "RS265"; did you mean "RS256"?'],
    ],
    [
      'an encryption algorithm',
      issuer('algorithms: [A128GCMKW]'),
      [
        'gateway.yaml:6:18: unknown algorithm "A128GCMKW": the names are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519',
      ],
    ],
    ['no algorithm', issuer('algorithms: []'), ['gateway.yaml:6:17: name at least one algorithm, or remove the key']],
    [
      'a tolerance of hours',
      issuer('clock_tolerance: 2h'),
      ['gateway.yaml:6:22: "2h" is out of bounds: at least 0s, at most 10m'],
    ],
    [
      'a time without a unit',
      issuer('max_lifetime: 3600'),
      [`gateway.yaml:6:19: "3600" is not a duration: ${duration}`],
    ],
    [
      'a claim that is no text',
      issuer('claims: { app: [azp] }'),
      ['gateway.yaml:6:20: expected a string, found a list'],
    ],
    [
      'keys over plain http',
      issuer('jwks_uri: http://sso.corp.example/jwks'),
      [
        'gateway.yaml:6:15: "http://sso.corp.example/jwks" must begin with https://: plain http is accepted only to loopback (localhost, 127.0.0.1, [::1])',
      ],
    ],
    [
      'a port that does not exist',
      `${least}listen: { gateway: 0.0.0.0:80800 }\n`,
      ['gateway.yaml:6:20: port 80800 does not exist: ports end at 65535'],
    ],
    [
      'an address that is none',
      `${least}listen: { admin: 127.0.0.1 }\n`,
      [
        'gateway.yaml:6:18: "127.0.0.1" is not an address to listen on: write host:port like 0.0.0.0:8080, "[::1]:8080" (in quotes), or a port alone',
      ],
    ],
    [
      'a time-out of nothing',
      least.replace('issuers:', '  timeouts: { headers: 0s }\nissuers:'),
      ['gateway.yaml:3:24: "0s" is out of bounds: at least 1ms, at most 1d'],
    ],
    [
      'no connections',
      least.replace('issuers:', '  connections: 0\nissuers:'),
      ['gateway.yaml:3:16: must be at least 1'],
    ],
    [
      'a size without sense',
      `${least}bodies: { max_size: big }\n`,
      [
        'gateway.yaml:6:21: "big" is not a size: write a number of bytes, or a whole number and a unit, like 512KiB, 64MiB, 1GiB or 10MB',
      ],
    ],
    [
      'an entry larger than the cache',
      `${least}cache: { max_size: 1MB, max_entry_size: 2MB }\n`,
      ['gateway.yaml:6:41: max_entry_size must not be larger than max_size'],
    ],
    [
      'a judged body larger than a body',
      `${least}bodies: { max_size: 1000 }\n`,
      ['gateway.yaml:6:9: max_judged_size must not be larger than max_size'],
    ],
    [
      'a misspelt stability class',
      `${least}catalogue: { stability: [stabel] }\n`,
      [
        'gateway.yaml:6:26: expected "stable", "beta", "early-access", "deprecated", "superseded" or "removed?", found the text "stabel"; did you mean "stable"?',
      ],
    ],
    [
      'an unknown level',
      `${least}log: { level: warning }\n`,
      [
        'gateway.yaml:6:15: expected "debug", "info", "warn", "error" or "silent", found the text "warning"; did you mean "warn"?',
      ],
    ],
    [
      'an audit log that another stream writes into',
      `${least}records: { access: log/x, decisions: ./log/x, audit: log/x }\n`,
      ['gateway.yaml:6:54: the audit log needs a file of its own: access and decisions would write into it too'],
    ],
    [
      'an authority that is not there',
      least.replace('issuers:', '  ca: certs/none.pem\nissuers:'),
      ['gateway.yaml:3:7: certs/none.pem: there is no such file'],
    ],
    [
      'an authority of an issuer that is not there',
      least.replace('audience:', 'ca: certs/none.pem\n    audience:'),
      ['gateway.yaml:5:9: certs/none.pem: there is no such file'],
    ],
    [
      'an authority that is none',
      least.replace('issuers:', '  ca: certs/note.txt\nissuers:'),
      ['gateway.yaml:3:7: certs/note.txt: it holds no PEM certificate (-----BEGIN CERTIFICATE-----)'],
    ],
    [
      'a damaged authority',
      least.replace('issuers:', '  ca: certs/damaged.pem\nissuers:'),
      ['gateway.yaml:3:7: certs/damaged.pem: certificate 2 of 2 in it is damaged'],
    ],
    [
      'bounds of the listener',
      `${least}listen: { timeouts: { heads: 10s, body: 10ms }, max_connections: 0, max_connections_per_adress: 1 }\n`,
      [
        'gateway.yaml:6:23: unknown key "heads"; did you mean "head"?',
        'gateway.yaml:6:41: "10ms" is out of bounds: at least 100ms, at most 1d',
        'gateway.yaml:6:66: must be at least 1',
        'gateway.yaml:6:69: unknown key "max_connections_per_adress"; did you mean "max_connections_per_address"?',
      ],
    ],
    ['half of tls', `${least}listen: { tls: { cert: certs/server.pem } }\n`, ['gateway.yaml:6:11: missing key "key"']],
    [
      'tls files that are not there',
      `${least}listen: { tls: { cert: a.pem, key: certs } }\n`,
      ['gateway.yaml:6:24: a.pem: there is no such file', 'gateway.yaml:6:36: certs: it is a directory'],
    ],
    [
      'a key that does not belong to the certificate',
      `${least}listen: { tls: { cert: certs/server.pem, key: certs/other.key } }\n`,
      ['gateway.yaml:6:47: certs/other.key: the private key does not belong to the certificate'],
    ],
    [
      'a key that is none',
      `${least}listen: { tls: { cert: certs/server.pem, key: certs/server.pem } }\n`,
      [
        'gateway.yaml:6:47: certs/server.pem: it holds no usable PEM private key (one with a passphrase is not supported)',
      ],
    ],
    [
      'exchanged certificate and key',
      `${least}listen: { tls: { cert: certs/server.key, key: certs/server.key } }\n`,
      ['gateway.yaml:6:24: certs/server.key: it holds no PEM certificate (-----BEGIN CERTIFICATE-----)'],
    ],
  ])('is reported in one line at its place: %s', async (_, text, messages) => {
    expect(await problems(text)).toEqual(messages)
  })

  it('never hides another', async () => {
    expect(
      await problems(`upstream:
  orgin: https://api.corp.example
  ca: 5
issuers:
  - issuer: https://sso.corp.example
    audience: 7
    algorithms: [none]
  - issuer: https://sso.corp.example
store: redis
telemetry: {}
`),
    ).toEqual([
      'gateway.yaml:2:3: unknown key "orgin"; did you mean "origin"?',
      'gateway.yaml:3:7: expected a string, but YAML reads 5 as a number: put it in quotes',
      'gateway.yaml:6:15: expected a string or a list, but YAML reads 7 as a number: put it in quotes',
      'gateway.yaml:7:18: algorithm "none" is never accepted: anybody could write such a token',
      'gateway.yaml:8:5: missing key "audience"',
      'gateway.yaml:8:13: issuer "https://sso.corp.example" appears twice',
      'gateway.yaml:9:8: "redis" is not the address of a store: write memory, or an address like valkey://host:6379/0 (valkeys:// for TLS; redis:// and rediss:// mean the same)',
      'gateway.yaml:10:1: missing key "otlp"',
    ])
  })
})
