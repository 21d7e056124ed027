// HAProxy doing the same work: signature and claims, route, permission and fence, limit, key swap, cache. Two of them: one
// verifies every token, one keeps what it has verified in a stick table by SHA-256 of the token.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { audience } from '../company.ts'
import { accepts, versionOf } from '../processes.ts'
import type { Peer, Site } from './peer.ts'
import { routes, teamFacts, writeMap } from './policy-data.ts'

export const haproxyPeer = peer('haproxy', 'HAProxy, token verified each time', false)
export const haproxyMemoPeer = peer('haproxy-memo', 'HAProxy, verified tokens kept', true)

function peer(id: 'haproxy' | 'haproxy-memo', title: string, keepsTokens: boolean): Peer {
  return {
    id,
    title,
    guards: true,
    installed: () => versionOf('haproxy', ['-v']),
    port: ({ ports }) => ports[id],
    prepare(site) {
      const directory = join(site.installation.directory, id)
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      const file = join(directory, 'haproxy.cfg')
      writeFileSync(file, configuration(site, site.ports[id], directory, keepsTokens))
      return { file: 'haproxy', args: ['-f', file] }
    },
    isReady: ({ ports }) => accepts(ports[id]),
  }
}

function configuration({ installation, ports }: Site, port: number, directory: string, keepsTokens: boolean): string {
  const teams = teamFacts(installation)
  const map = (name: string, entries: readonly (readonly [string, string])[]): string =>
    writeMap(directory, name, entries)
  const byTeam = (name: string, value: (team: (typeof teams)[number], index: number) => string): string =>
    map(
      name,
      teams.map((team, index) => [team.team, value(team, index)]),
    )
  const teamIds = byTeam('team-ids', (_, index) => String(index + 1))
  const teamNames = map(
    'team-names',
    teams.map(({ team }, index) => [String(index + 1), team]),
  )
  const limits = byTeam('limits', ({ perDay }) => String(perDay))
  const fences = map(
    'fences',
    teams.map(({ team, organization }) => [`${team}|${organization}`, '1']),
  )
  const grants = map(
    'grants',
    teams.flatMap(({ team, permissions }) => permissions.map((permission) => [`${team}|${permission}`, '1'] as const)),
  )
  const keys = map(
    'keys',
    teams.flatMap(({ team, reader, runner }) => [
      [`${team}|reader`, reader] as const,
      [`${team}|runner`, runner] as const,
    ]),
  )
  const ofRoute = (name: string, value: (route: (typeof routes)[number]) => string): string =>
    map(
      name,
      routes.map((route) => [`${route.method}_${route.shape}`, value(route)]),
    )
  const permissions = ofRoute('permissions', ({ permission }) => permission)
  const uses = ofRoute('uses', ({ key }) => key)
  const cached = map(
    'cached',
    routes.filter((route) => route.cached).map(({ method, shape }) => [`${method}_${shape}`, '1']),
  )
  const memo = (lines: string): string => (keepsTokens ? lines : '')
  const verify = keepsTokens ? ' unless { var(txn.known) -m bool }' : ''
  const refuse = (condition: string): string =>
    `  http-request deny deny_status 401 unless ${keepsTokens ? '{ var(txn.known) -m bool } or ' : ''}${condition}`

  // HAProxy neither stores nor serves a request with Authorization, and its cache key is Host and path: so the field goes
  // before the lookup, Host carries the credential's name, and the backend sets both.
  return `
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  timeout http-keep-alive 300s
  http-reuse always
cache api
  total-max-size 64
  max-object-size 200000
  max-age 3600
backend tokens
  stick-table type binary len 32 size 100k expire 5m store gpt(2)
backend rates
  stick-table type string len 32 size 10k expire 1d store http_req_rate(1d)
frontend gateway
  bind 127.0.0.1:${port}
  http-request set-var(txn.jwt) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.jwt) -m found }
  http-request set-var(txn.now) date
${memo(`  http-request track-sc0 var(txn.jwt),sha2(256) table tokens
  acl fresh sc_get_gpt(1,0),sub(txn.now) -m int gt 0
  http-request set-var(txn.known) bool(true) if fresh
  http-request set-var(txn.team) sc_get_gpt(0,0),map_str(${teamNames}) if { var(txn.known) -m bool }
`)}  http-request set-var(txn.alg) var(txn.jwt),jwt_header_query('$.alg')${verify}
${refuse('{ var(txn.alg) -m str RS256 }')}
${refuse(`{ var(txn.jwt),jwt_verify(txn.alg,"${installation.publicKeyFile}") -m int 1 }`)}
${refuse("{ var(txn.jwt),jwt_payload_query('$.exp','int'),sub(txn.now) -m int gt 0 }")}
${refuse(`{ var(txn.jwt),jwt_payload_query('$.iss') -m str ${installation.issuer} }`)}
${refuse(`{ var(txn.jwt),jwt_payload_query('$.aud') -m str ${audience} }`)}
  http-request set-var(txn.team) var(txn.jwt),jwt_payload_query('$.team')${verify}
${memo(`  http-request set-var(txn.id) var(txn.team),map_str_int(${teamIds})${verify}
  http-request sc-set-gpt(0,0) var(txn.id)${verify}
  http-request set-var(txn.exp) var(txn.jwt),jwt_payload_query('$.exp','int')${verify}
  http-request sc-set-gpt(1,0) var(txn.exp)${verify}
`)}  http-request track-sc1 var(txn.team) table rates
  http-request set-var(txn.limit) var(txn.team),map_str_int(${limits},0)
  http-request deny deny_status 429 if { sc_http_req_rate(1),sub(txn.limit) -m int gt 0 }
  http-request deny deny_status 404 unless { path -m beg /v3/organizations/ }
  http-request set-var(txn.organization) path,field(4,/)
  http-request set-var(txn.shape) path,regsub(^/v3/organizations/[^/]+,/v3/organizations/:org),regsub(/devin-[^/]+,/:id)
  http-request set-var(txn.route) method,concat(_,txn.shape)
  http-request set-var(txn.permission) var(txn.route),map_str(${permissions})
  http-request deny deny_status 404 unless { var(txn.permission) -m found }
  http-request set-var(txn.grant) var(txn.team),concat(|,txn.permission)
  http-request deny deny_status 403 unless { var(txn.grant),map_str(${grants}) -m found }
  http-request set-var(txn.fence) var(txn.team),concat(|,txn.organization)
  http-request deny deny_status 403 unless { var(txn.fence),map_str(${fences}) -m found }
  http-request set-var(txn.use) var(txn.route),map_str(${uses})
  http-request set-var(txn.key) var(txn.team),concat(|,txn.use)
  http-request del-header authorization
  http-request set-header host %[var(txn.team)]-%[var(txn.use)]
  http-request set-var(txn.cached) bool(true) if { var(txn.route),map_str(${cached}) -m found }
  http-request cache-use api if { var(txn.cached) -m bool }
  default_backend api
backend api
  http-request set-header authorization "Bearer %[var(txn.key),map_str(${keys})]"
  http-request set-header host 127.0.0.1:${ports.upstream}
  http-response set-header cache-control "max-age=3600" if { var(txn.cached) -m bool }
  http-response cache-store api if { var(txn.cached) -m bool }
  server upstream 127.0.0.1:${ports.upstream}
`
}
