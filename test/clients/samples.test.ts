// The samples of examples/ as programs of their own: they fetch a token, wait where they have to, and create once, also over a
// connection that breaks after the create has arrived.

import { spawn, spawnSync } from 'node:child_process'
import { createServer as createHttpServer, type Server } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCompany, organization, type Company } from './company.ts'

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0
type Sample = readonly [language: string, program: string, file: string, isThere: boolean]
const samples: readonly Sample[] = [
  ['Python', 'python3', 'devin_gateway.py', has('python3')],
  ['Node.js', process.execPath, 'devin-gateway.mjs', true],
  ['curl', 'bash', 'devin-gateway.sh', has('curl')],
]

let company: Company
let provider: Server
/** What was asked of the token endpoint. */
const forms: URLSearchParams[] = []

beforeAll(async () => {
  company = await openCompany()
  provider = createHttpServer((request, response) => {
    void text(request).then(async (body) => {
      const form = new URLSearchParams(body)
      forms.push(form)
      const token = await company.token(form.get('client_id') ?? '')
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: 600 }))
    })
  })
  provider.listen(0, '127.0.0.1')
  await once(provider, 'listening')
})
afterAll(async () => {
  provider.close()
  await company.close()
})

interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

async function run(
  [, program, file]: Sample,
  env: Readonly<Record<string, string>>,
  where: string | null = organization,
): Promise<Run> {
  const path = fileURLToPath(new URL(`../../examples/${file}`, import.meta.url))
  const child = spawn(program, [path, ...(where === null ? [] : [where, 'Say "hello"\n\\o/'])], {
    env: { PATH: process.env['PATH'] ?? '', DEVIN_GATEWAY_URL: `${company.base}/`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: child.exitCode, out, err }
}

const asApp = (app: string): Record<string, string> => ({
  OAUTH_TOKEN_URL: `http://127.0.0.1:${(provider.address() as AddressInfo).port}/token`,
  OAUTH_CLIENT_ID: app,
  OAUTH_CLIENT_SECRET: 'a secret & a half',
})

/** In front of the gateway: cuts the first connection that carries a create, after the gateway has answered it. */
async function brokenWay(): Promise<{ url: string; cut: () => number; close: () => void }> {
  let cut = 0
  const server = createServer((socket) => {
    const way = connect(company.port, '127.0.0.1')
    let isCreate = false
    socket.on('data', (chunk: Buffer) => {
      isCreate ||= chunk.includes('POST ')
      way.write(chunk)
    })
    way.on('data', (chunk: Buffer) => {
      if (isCreate && cut === 0) {
        cut += 1
        socket.destroy()
      } else socket.write(chunk)
    })
    for (const [one, other] of [
      [socket, way],
      [way, socket],
    ] as const) {
      one.on('close', () => other.destroy())
      one.on('error', () => {})
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => cut,
    close: () => server.close(),
  }
}

const creates = (): number => company.arrived().filter(({ method }) => method === 'POST').length

describe.each(samples)('the sample in %s', (...sample) => {
  const [, , file, isThere] = sample

  it.skipIf(!isThere)('fetches a token, creates a session with what was asked, and reads it', async () => {
    forms.length = 0
    const { code, out, err } = await run(sample, asApp('builder'))
    expect([code, out]).toEqual([0, expect.stringMatching(/"session_id": ?"devin-/)])
    expect(Object.fromEntries(forms[0] ?? [])).toEqual({
      grant_type: 'client_credentials',
      client_id: 'builder',
      client_secret: 'a secret & a half',
      audience: 'devin-gateway',
    })
    expect(forms).toHaveLength(1)
    expect(err).not.toContain('again')
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => typeof JSON.parse(line)),
    ).toEqual(['object', 'object'])
  })

  it.skipIf(!isThere)(
    'repeats its create over a new connection when the first one breaks, and one session is started',
    async () => {
      creates()
      const way = await brokenWay()
      const { code, out, err } = await run(sample, {
        DEVIN_GATEWAY_TOKEN: await company.token('builder'),
        DEVIN_GATEWAY_URL: way.url,
      })
      way.close()
      expect([code, out]).toEqual([0, expect.stringMatching(/"session_id": ?"devin-/)])
      expect([way.cut(), creates(), err]).toEqual([1, 1, expect.stringContaining('again in')])
    },
  )

  it.skipIf(!isThere)('waits at the limits of its team and goes on', async () => {
    const { code, err } = await run(sample, { ...asApp('hasty'), SAMPLE_READS: '3' })
    expect([code, err]).toEqual([0, expect.stringMatching(/again in 1 s|going on in 1 s/)])
  })

  it.skipIf(!isThere)('says a refusal for good at once, with the decision to ask about', async () => {
    const { code, out, err } = await run(
      sample,
      { DEVIN_GATEWAY_TOKEN: await company.token('builder') },
      'org-research',
    )
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/refused: 403[^]*organizations are org-platform/)
    expect(err).toMatch(/\(decision [0-9a-f]{8}-[0-9a-f]{4}-[^)]*\)\n$/)
    expect(err).not.toContain('again')
  })

  it.skipIf(!isThere)('lists every session, page by page', async () => {
    const token = { DEVIN_GATEWAY_TOKEN: await company.token('builder') }
    const countOf = ({ out }: Run): number =>
      file === 'devin-gateway.sh' ? out.split('"session_id"').length - 2 : Number(/"listed": ?(\d+)/.exec(out)?.[1])
    const one = countOf(await run(sample, token))
    const more = await run(sample, { ...token, SAMPLE_PAGE_SIZE: '2' })
    expect([more.code, more.err.includes('refused')]).toEqual([0, false])
    expect(one).toBeGreaterThan(2)
    // The second run has started one more.
    expect(countOf(more)).toBe(one + 1)
  })

  it.skipIf(!isThere)('says in one line what is missing or cannot be reached, and sends nothing', async () => {
    const token = { DEVIN_GATEWAY_TOKEN: 'x.y.z' }
    const oauth = 'set OAUTH_TOKEN_URL, OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET; or set DEVIN_GATEWAY_TOKEN to a token\n'
    const wrong: [Record<string, string>, string | null, number, string | RegExp][] = [
      [token, null, 2, `usage: ${file} ORGANIZATION PROMPT\n`],
      [{}, organization, 2, oauth],
      [{ ...token, DEVIN_GATEWAY_URL: '' }, organization, 2, 'set DEVIN_GATEWAY_URL\n'],
      [
        { ...token, DEVIN_GATEWAY_URL: 'gateway.test' },
        organization,
        2,
        'DEVIN_GATEWAY_URL begins with https://, not gateway.test\n',
      ],
      [{ ...asApp('builder'), OAUTH_TOKEN_URL: 'http://127.0.0.1:1/token' }, organization, 1, /127\.0\.0\.1/],
    ]
    for (const [env, where, code, text] of wrong) {
      const ended = await run(sample, env, where)
      expect([ended.code === 0 ? 0 : ended.code === 2 ? 2 : 1, ended.out]).toEqual([code, ''])
      expect(ended.err).toEqual(typeof text === 'string' ? text : expect.stringMatching(text))
      expect(ended.err.trim().split('\n')).toHaveLength(1)
    }
  })
})
