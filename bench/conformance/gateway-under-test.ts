// The whole gateway, with the routes of the suite as an extension file and a token on every request.
//
// The gateway lets only fields through that clients and servers of the Devin API need, and the suite's are none of those. So
// there is a wire on either side: what a caller sends under a name of the suite's own (Foo, Req-Num) travels under one that
// crosses and means nothing to the cache, and what the suite's server answers under such a name travels as X-Devin-…. Nothing
// else is changed: what the gateway itself drops or treats in a way of its own stays under its name.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePorts } from '../../test/support/free-ports.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/records/log.ts'
import { startGateway } from '../../src/runtime.ts'
import { audience, groupOf, teams } from '../company.ts'
import { startIdentity, type Identity } from '../identity.ts'
import { mapFields, startWire, unchanged, type Rewriting } from './wires.ts'

export interface Subject {
  readonly port: number
  close(): Promise<void>
}

const [team] = teams.usual
/** Fields of the suite's requests, and those that carry them through. */
const carriers = new Map([
  ['Foo', 'Content-Language'],
  ['Bar', 'Content-Disposition'],
  ['Baz', 'Prefer'],
  ['Abc', 'Last-Event-ID'],
])
const carrierOf = renamer(carriers)
const carriedBy = renamer([...carriers].map(([name, carrier]) => [carrier, name]))
/** What the gateway lets through from an answer, or has reasons of its own to drop or to make anew. */
const ownNames = new Set(
  `accept-ranges age allow cache-control cdn-cache-control connection content-encoding content-language content-length
  content-location content-range content-security-policy content-type date etag expires keep-alive last-modified link
  location proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection retry-after set-cookie te
  trailer upgrade vary warning`.split(/\s+/),
)
const prefix = 'x-devin-'

/** Starts a gateway before the suite's server. */
export async function startGatewayUnderTest(suitePort: number): Promise<Subject> {
  const [identityPort = 0] = await freePorts(1)
  const identity = await startIdentity(identityPort, null)
  const token = identity.callers.find((caller) => caller.team === team)?.token ?? ''
  // The number of a test's newest request, by its path: request ids are the gateway's own where answers may be shared.
  const numbers = new Map<string, string>()
  const behind = await startWire(
    () => suitePort,
    () => beforeTheSuite(numbers),
  )
  const directory = mkdtempSync(join(tmpdir(), 'devin-gateway-conformance-'))
  install(directory, behind.port, identity)
  const env = { CONFORMANCE_KEY: 'cog_conformance-0123456789abcdef' }
  const { config } = await loadConfig(join(directory, 'gateway.yaml'), env)
  const log = createLog({ level: 'error', destination: process.stderr })
  const gateway = await startGateway({ config, env, log, version: 'conformance' })
  while (!gateway.readiness().ready) await new Promise((resolve) => setTimeout(resolve, 10))
  const toTheGateway = beforeTheGateway(token, numbers)
  // The suite tells its server what to answer, and asks it what it saw, on the side.
  const isTest = (path: string): boolean => path.startsWith('/test/')
  const before = await startWire(
    (path) => (isTest(path) ? gateway.gateway.port : suitePort),
    (path) => (isTest(path) ? toTheGateway : unchanged),
  )
  return {
    port: before.port,
    async close() {
      before.server.closeAllConnections()
      before.server.close()
      await gateway.drain()
      behind.server.closeAllConnections()
      behind.server.close()
      await identity.process.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function beforeTheGateway(token: string, numbers: Map<string, string>): Rewriting {
  return {
    request(fields, { headers, url }) {
      numbers.set(url ?? '', String(headers['req-num']))
      const mapped = mapFields(fields, (name, value) => {
        const lower = name.toLowerCase()
        if (lower === 'authorization' || lower === 'req-num') return null
        return [carrierOf(lower) ?? name, value]
      })
      return [...mapped, 'authorization', `Bearer ${token}`]
    },
    response: (fields) =>
      mapFields(fields, (name, value) => {
        const own = name.startsWith(prefix) ? name.slice(prefix.length) : name
        return [own, name === 'vary' ? renamedList(value, carriedBy) : value]
      }),
  }
}

function beforeTheSuite(numbers: ReadonlyMap<string, string>): Rewriting {
  return {
    request: (fields, { url }) => [
      ...mapFields(fields, (name, value) => [carriedBy(name) ?? name, value]),
      'req-num',
      numbers.get(url ?? '') ?? '',
    ],
    response: (fields) =>
      mapFields(fields, (name, value) => {
        const lower = name.toLowerCase()
        if (lower === 'vary') return [name, renamedList(value, carrierOf)]
        if (lower === 'connection') return [name, renamedList(value, nameOnTheWay)]
        if (lower === 'cache-control') return [name, value.replaceAll(/no-cache="([^"]*)"/g, renamedFields)]
        return [nameOnTheWay(name), value]
      }),
  }
}

function renamer(pairs: Iterable<readonly [string, string]>): (name: string) => string | undefined {
  const names = new Map([...pairs].map(([from, to]) => [from.toLowerCase(), to]))
  return (name) => names.get(name.toLowerCase())
}

function renamedList(value: string, nameFor: (member: string) => string | undefined): string {
  return value
    .split(',')
    .map((member) => nameFor(member.trim()) ?? member)
    .join(',')
}

/** The fields that `no-cache="…"` names travel under other names, too. */
function renamedFields(_whole: string, names: string): string {
  return `no-cache="${renamedList(names, nameOnTheWay)}"`
}

function nameOnTheWay(name: string): string {
  const lower = name.toLowerCase()
  return ownNames.has(lower) ? name : prefix + lower
}

function install(directory: string, upstreamPort: number, { issuer }: Identity): void {
  mkdirSync(join(directory, 'policies/teams'), { recursive: true })
  const put = (name: string, document: unknown): void => writeFileSync(join(directory, name), stringify(document))
  const paths = ['/test/{id}', '/test/{id}/{name}']
  put('extension.yaml', {
    operations: ['GET', 'POST', 'PUT', 'DELETE', 'M-SEARCH'].flatMap((method) =>
      paths.map((path, index) => ({
        id: `suite.test-${index}.${method.toLowerCase()}`,
        method,
        path,
        scope: 'any',
        ...(method === 'GET' ? { cache: 'rfc9111' } : {}),
      })),
    ),
  })
  put('gateway.yaml', {
    listen: { gateway: '127.0.0.1:0', admin: '127.0.0.1:0' },
    upstream: { origin: `http://127.0.0.1:${upstreamPort}` },
    issuers: [{ issuer, audience, algorithms: ['RS256'] }],
    policies: 'policies',
    catalogue: { files: ['extension.yaml'] },
    records: { access: 'access.ndjson', decisions: 'decisions.ndjson', audit: 'audit.ndjson' },
    shutdown: { delay: '0s', deadline: '1s' },
  })
  put(`policies/teams/${team}.yaml`, {
    team,
    members: [{ groups: [groupOf(team)] }],
    organizations: 'all',
    grants: [{ id: 'suite', allow: ['suite.*'] }],
  })
  put('policies/keys.yaml', {
    keys: [
      {
        id: 'conformance',
        scope: 'enterprise',
        permissions: ['ViewAccountMetrics'],
        secret: { env: 'CONFORMANCE_KEY' },
      },
    ],
  })
}
