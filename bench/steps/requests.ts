// The worst heads of requests that the listener takes: targets, fields and tokens of 32 KiB, from the read head to the decision.

import type { IncomingMessage } from 'node:http'
import { readTarget } from '../../src/catalogue/target.ts'
import { createTokenVerifier } from '../../src/identity/token-verifier.ts'
import { cacheRequestOf } from '../../src/gateway/cache-request.ts'
import { parseCacheRequest } from '../../src/cache/parsed-request.ts'
import { DecisionMemo } from '../../src/gateway/evaluation-memo.ts'
import { readCallerFields } from '../../src/gateway/fields.ts'
import { holdsToken } from '../../src/gateway/refusals/request.ts'
import { Problem } from '../../src/problems.ts'
import { evaluate, findOperation } from '../../src/policy/decision/evaluate.ts'
import { recordJson } from '../../src/records/safe-text.ts'
import { maskSecrets } from '../../src/records/mask.ts'
import { startIssuer } from '../../test/support/issuer.ts'
import { caller, policy } from './policy.ts'
import type { Step } from './step.ts'

/** What is left of 32 KiB for one thing. */
const most = 31 * 1024

const usual = ['Host', 'gateway.test', 'Authorization', `Bearer ${'a'.repeat(900)}`]

function handle(target: string, fields: readonly string[], principal = caller): unknown {
  const request = { rawHeaders: [...usual, ...fields] } as unknown as IncomingMessage
  const read = readCallerFields(request)
  try {
    const parsed = readTarget(target, read.host)
    holdsToken(parsed.query, 'Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln')
    const evaluation = evaluate(policy, principal, findOperation(policy, 'GET', parsed), parsed)
    parseCacheRequest(cacheRequestOf(evaluation, new DecisionMemo(), policy.catalogue, 'GET', read, Date.now))
  } catch (error) {
    // Refused, which is a step as well.
    if (!(error instanceof Problem)) throw error
  }
  return recordJson({ target: maskSecrets(target) })
}

function repeated(piece: string): string {
  return piece.repeat(most / piece.length)
}

function many(of: (index: number) => string, between: string): string {
  let all = ''
  for (let index = 0; all.length < most - 64; index += 1) all += (index === 0 ? '' : between) + of(index)
  return all
}

const list = '/v3/organizations/org-payments/sessions'
const enterprise = '/v3/enterprise/sessions'

const queries: Readonly<Record<string, string>> = {
  'many parameters': many((index) => `a${index}=1`, '&'),
  'parameters without names': repeated('&'),
  semicolons: many((index) => `a${index}=1`, ';'),
  steps: repeated('a.'),
  'parameters of steps': many(() => 'a.'.repeat(200), '&'),
  'steps of digits': repeated('.1'),
  'parameters of brackets': many((index) => `a${index}[][]`, '&'),
  'an escape': repeated('%41'),
  'escapes in escapes': repeated('%25252541'),
  'brackets in escapes': repeated('%2525255b'),
  'odd letters': repeated('%EF%BD%8D'),
  marks: `a${repeated('%CC%81')}`,
  'broken escapes': repeated('%ff%c3'),
  'many organizations': many((index) => `org_ids=org-${index}`, '&'),
  'beginnings of secrets': repeated('cog_'),
  'beginnings of tokens': repeated('eyJ'),
  'a long value': `first=${repeated('a')}`,
}

const paths: Readonly<Record<string, string>> = {
  'many segments': repeated('/a'),
  dots: repeated('/..'),
  escapes: `/v3/${repeated('%25252541')}`,
  'odd letters': `/v3/${repeated('%EF%BD%8D')}`,
}

const fields: Readonly<Record<string, readonly string[]>> = {
  'many fields': Array.from({ length: 3000 }, (_, index) => [`x-${index}`, '1']).flat(),
  'many connection options': ['Connection', many((index) => `x${index}`, ',')],
  'many fields to be dropped': ['Connection', 'accept', ...Array.from({ length: 3000 }, () => ['accept', 'a']).flat()],
  'many codings': Array.from({ length: 1500 }, () => ['accept-encoding', 'gzip;q=0.1']).flat(),
  'many ranges': ['range', `bytes=${many((index) => `${index}-${index}`, ',')}`],
  'many validators': ['if-none-match', many((index) => `"${index}"`, ',')],
  'many directives': ['cache-control', many((index) => `a${index}=1`, ',')],
  'quoted directives': ['cache-control', `a="${repeated('\\"')}`],
  spaces: ['cache-control', repeated(' ,')],
  'a long Prefer': ['prefer', repeated('a, ')],
  tracestate: ['tracestate', repeated('a=b,')],
}

const issuer = await startIssuer({ algorithm: 'RS256' })
const verifier = createTokenVerifier({
  issuers: [
    {
      issuer: issuer.issuer,
      audience: ['devin-gateway'],
      jwksUri: null,
      algorithms: ['RS256'],
      clockToleranceMs: 30_000,
      maxLifetimeMs: 24 * 60 * 60_000,
      emailVerified: 'optional',
      ca: null,
      claims: { subject: 'sub', email: 'email', groups: 'groups', app: 'azp' },
    },
  ],
  now: Date.now,
  monotonic: () => performance.now(),
  log: { info: () => undefined, warn: () => undefined, error: () => undefined },
})
await verifier.start()

const groups = Array.from({ length: 2900 }, (_, index) => index.toString(36))

let signed = 0
function token(name: string, claims: object): Step {
  return {
    name: `a token with ${name}`,
    async run(turn) {
      signed += 1
      const credentials = `Bearer ${await issuer.sign({ ...claims, jti: String(signed) })}`
      const verified = await turn(() => verifier.verify(credentials))
      void turn(() => verifier.verify(credentials))
      if (!('subject' in verified)) throw new Error(`the token is refused: ${String(verified)}`)
    },
  }
}

export const requests: readonly Step[] = [
  ...Object.entries(queries).flatMap(([name, query]) =>
    [list, enterprise].map((path) => ({
      name: `a query: ${name}${path === list ? '' : ', of the enterprise'}`,
      run: (turn: Parameters<Step['run']>[0]) => turn(() => handle(`${path}?${query}`, [])),
    })),
  ),
  ...Object.entries(paths).map(([name, path]): Step => ({
    name: `a path: ${name}`,
    run: (turn) => turn(() => handle(path, [])),
  })),
  ...Object.entries(fields).map(([name, all]): Step => ({
    name: `fields: ${name}`,
    run: (turn) => turn(() => handle(list, all)),
  })),
  token('many groups', { groups: groups.slice(0, 1900) }),
  token('a long claim', { note: 'a'.repeat(11_000) }),
  { name: 'a caller of many groups', run: (turn) => turn(() => handle(list, [], { ...caller, groups })) },
]
