// Programs that speak HTTP/2 because the gateway's certificate offers it, as Go and curl do.

import { connect, type ClientHttp2Session } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { openCompany, organization, type Company } from './company.ts'

interface Answer {
  readonly status: number
  readonly body: string
}

let company: Company
let session: ClientHttp2Session
let token: string
beforeAll(async () => {
  const authority = createAuthority('corp')
  company = await openCompany(authority.issue({ name: 'localhost' }))
  token = await company.token('builder')
  session = connect(`https://localhost:${company.port}`, { ca: authority.ca })
})
afterAll(async () => {
  session.close()
  await company.close()
})

/** Sends the pieces one by one; HTTP/2 needs no length before a body. */
async function send(
  method: string,
  path: string,
  fields: Record<string, string>,
  ...pieces: string[]
): Promise<Answer> {
  const stream = session.request(
    { ':method': method, ':path': path, authorization: `Bearer ${token}`, ...fields },
    { endStream: pieces.length === 0 },
  )
  return await new Promise((resolve, reject) => {
    let status = 0
    let body = ''
    stream.setEncoding('utf8')
    stream.on('response', (head) => {
      status = head[':status'] ?? 0
    })
    stream.on('data', (chunk: string) => {
      body += chunk
    })
    stream.on('end', () => resolve({ status, body }))
    stream.on('error', reject)
    for (const piece of pieces) stream.write(piece)
    if (pieces.length > 0) stream.end()
  })
}

const sessions = `/v3/organizations/${organization}/sessions`
const json = { 'content-type': 'application/json' }

describe('a program over HTTP/2', () => {
  it('does many things at once on one connection', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => send('GET', '/v3/self', {})))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  })

  it('creates with a body of declared length', async () => {
    const body = '{"prompt":"go"}'
    const { status } = await send('POST', sessions, { ...json, 'content-length': String(body.length) }, body)
    expect(status).toBe(200)
  })

  it('creates with a body of no declared length', async () => {
    const { status, body } = await send('POST', sessions, json, '{"prompt":', '"go"}')
    expect([status, body]).toEqual([200, expect.stringContaining('session_id')])
  })

  it('uploads a stream of no declared length', async () => {
    const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    const { status, body } = await send(
      'POST',
      `/v3/organizations/${organization}/attachments`,
      { 'content-type': 'multipart/form-data; boundary=b' },
      head,
      'x'.repeat(200_000),
      '\r\n--b--\r\n',
    )
    expect([status, body]).toEqual([200, expect.stringContaining('a.txt')])
  })

  it('archives and deletes without a body', async () => {
    const { body } = await send('POST', sessions, json, '{"prompt":"go"}')
    const { session_id } = JSON.parse(body) as { session_id: string }
    expect((await send('POST', `${sessions}/${session_id}/archive`, json)).status).toBe(200)
    expect((await send('DELETE', `/v3/organizations/${organization}/playbooks/none`, json)).status).toBe(404)
  })
})
