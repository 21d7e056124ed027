// Unknown methods pass the same stages: authenticated, decided, recorded and answered as a problem, over HTTP/2 as
// well, where the protocol allows any method.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRequest, protocols } from '../support/both-protocols.ts'
import { createAuthority } from '../support/certificates.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
let directory: string
let running: RunningGateway
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-test-door-'))
  const { cert, key } = createAuthority('a test authority').issue({ name: 'localhost' })
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  running = await startTestGateway({
    listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}" } }`,
  })
})
afterAll(async () => {
  await running.close()
  await rm(directory, { recursive: true, force: true })
})

/** Those that the parser of HTTP/1.1 takes. */
const known = ['PROPFIND', 'TRACE', 'QUERY', 'LINK', 'M-SEARCH', 'OPTIONS']
const unknown = ['FOO', 'get', 'Get', 'post', 'X'.repeat(300), '__proto__', 'constructor']

/** How many there have been. */
let exchanges = 0

describe.each(protocols)('over %s', (protocol) => {
  const methods = protocol === 'HTTP/2' ? [...known, ...unknown] : known
  const paths = [sessions, '/v3/self', '/gateway/v1/me', '/gateway/v1/problems/not-granted', '/nowhere']
  test.each(methods.flatMap((method) => paths.map((path) => [method, path] as const)))(
    '%s %s',
    async (method, path) => {
      const asked = [null, await running.token()].map(async (token) => {
        const fields = { 'content-type': 'no media type', ...(protocol === 'HTTP/2' ? {} : { connection: 'close' }) }
        const request = openRequest(protocol, running.port, { method, path, token, fields }, 4)
        request.end('body')
        return { token, answer: await request.over }
      })
      const before = exchanges
      const answers = await Promise.all(asked)
      exchanges = await running.settled(before + answers.length)
      expect(exchanges).toBe(before + answers.length)
      for (const { token, answer } of answers) {
        const kind = token === null ? 'token-missing' : 'unknown-operation'
        expect(answer.status).toBe(token === null ? 401 : 403)
        expect(answer.fields).toMatchObject({
          'content-type': 'application/problem+json',
          'x-content-type-options': 'nosniff',
        })
        expect(JSON.parse(answer.body)).toMatchObject({ type: `/gateway/v1/problems/${kind}` })
        const { access, decision } = await running.recordsOf(answer.fields['gateway-decision'] ?? '')
        expect(access).toMatchObject({
          method,
          outcome: 'refused',
          problem: kind,
          subject: token === null ? null : 'ann',
        })
        expect(decision).toMatchObject({ effect: 'deny', ended: { how: 'refused', sent: false } })
      }
      expect(running.upstream.seen).toEqual([])
    },
  )
})
