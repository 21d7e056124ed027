// Programs that upload and download: multipart of known and of unknown length, larger than what curl sends unasked, and
// the way back through a redirect that is not followed with the token.

import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCompany, organization, type Company } from './company.ts'
import { Sdk, type Attachment, type Session } from './sdk.ts'
import { curl, curlInstalled, fetchWire, openPool, type Incoming, type Streamed, type Wire } from './wires.ts'

const attachments = `/v3/organizations/${organization}/attachments`
const boundary = 'client-suite-7MA4YWxkTrZu0gW'
const type = `multipart/form-data; boundary=${boundary}`
const content = randomBytes(3 * 1024 * 1024)

/** One part `file`, made piece by piece. */
async function* multipart(name: string, bytes: Buffer): Streamed {
  const disposition = `Content-Disposition: form-data; name="file"; filename="${name}"`
  yield Buffer.from(`--${boundary}\r\n${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n`)
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
  yield Buffer.from(`\r\n--${boundary}--\r\n`)
}

async function whole(parts: Streamed): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of parts) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

const pool = openPool(4)
let company: Company
let token: string
let directory: string
beforeAll(async () => {
  company = await openCompany()
  token = await company.token('builder')
  directory = await mkdtemp(join(tmpdir(), 'client-files-'))
})
afterAll(async () => {
  pool.close()
  await company.close()
  await rm(directory, { recursive: true, force: true, maxRetries: 5 })
})

const sdk = (wire: Wire): Sdk => new Sdk({ base: company.base, token, wire })

/** Where the gateway serves an attachment: the path of its address, at the gateway. */
const addressOf = ({ url }: Attachment): string => company.base + new URL(url).pathname

/** Downloads as careful clients do: the redirect by hand, and no token for the object store. */
async function download(wire: Wire, attachment: Attachment): Promise<Incoming> {
  const redirect = await wire(addressOf(attachment), { headers: { authorization: `Bearer ${token}` } })
  expect(redirect.status).toBe(307)
  return await wire(redirect.fields['location'] ?? '')
}

const formOf = (name: string, bytes: Buffer): FormData => {
  const form = new FormData()
  form.append('file', new Blob([new Uint8Array(bytes)]), name)
  return form
}

async function postForm(path: string, form: FormData): Promise<Response> {
  return await fetch(company.base + path, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: form })
}

/** Every program that uploads, under what it does. */
const uploaders: readonly [what: string, upload: (path: string, name: string, bytes: Buffer) => Promise<Incoming>][] = [
  [
    'a form over fetch',
    async (path, name, bytes) => {
      const response = await postForm(path, formOf(name, bytes))
      return { status: response.status, fields: {}, body: Buffer.from(await response.arrayBuffer()) }
    },
  ],
  [
    'a stream over fetch',
    (path, name, bytes) => sdk(fetchWire).ask('POST', path, { upload: { type, body: multipart(name, bytes) } }),
  ],
  [
    'a body of known length over a pool',
    async (path, name, bytes) =>
      await sdk(pool.wire).ask('POST', path, { upload: { type, body: await whole(multipart(name, bytes)) } }),
  ],
  [
    'a chunked stream over a pool',
    (path, name, bytes) => sdk(pool.wire).ask('POST', path, { upload: { type, body: multipart(name, bytes) } }),
  ],
  [
    'a stream that asks before it sends',
    (path, name, bytes) =>
      sdk(pool.wire).ask('POST', path, {
        upload: { type, body: multipart(name, bytes) },
        headers: { expect: '100-continue' },
      }),
  ],
  ...(curlInstalled
    ? ([
        ['curl, which asks before it sends', (path, name, bytes) => curlForm([], path, name, bytes)],
        ['curl that does not ask', (path, name, bytes) => curlForm(['-H', 'Expect:'], path, name, bytes)],
        ['curl in chunks', (path, name, bytes) => curlForm(['-H', 'Transfer-Encoding: chunked'], path, name, bytes)],
      ] satisfies typeof uploaders)
    : []),
]

async function curlForm(args: readonly string[], path: string, name: string, bytes: Buffer): Promise<Incoming> {
  const file = join(directory, name)
  await writeFile(file, bytes)
  return await curl([
    '--http1.1',
    ...args,
    '-H',
    `Authorization: Bearer ${token}`,
    '-F',
    `file=@${file}`,
    company.base + path,
  ])
}

describe.each(uploaders)('an upload by %s', (_what, upload) => {
  it('arrives whole, and comes back whole', async () => {
    const { status, body } = await upload(attachments, 'disk.img', content)
    expect(status).toBe(200)
    const attachment = JSON.parse(body.toString()) as Attachment
    expect(attachment.name).toBe('disk.img')
    expect(digest((await download(fetchWire, attachment)).body)).toBe(digest(content))
  })

  it('that is refused gets its refusal, and nothing of it reaches Devin', async () => {
    company.arrived()
    const { status, body } = await upload('/v3/organizations/org-payments/attachments', 'disk.img', content)
    expect([status, JSON.parse(body.toString())]).toEqual([
      403,
      expect.objectContaining({ reason: 'organization-not-granted' }),
    ])
    expect(company.arrived()).toEqual([])
  })
})

describe('an attachment', () => {
  it('can be handed back in the session that shall use it, at the address Devin gave it', async () => {
    const response = await postForm(attachments, formOf('notes.txt', Buffer.from('read me')))
    const { url } = (await response.json()) as Attachment
    const session = await sdk(fetchWire).call<Session>('POST', `/v3/organizations/${organization}/sessions`, {
      json: { prompt: `Read ${url}`, attachment_urls: [url] },
    })
    expect(session.status).toBe('new')
  })

  it.each(['Bericht für Ü & Co. (1).txt', 'a+b c%.txt', "o'clock, ‘quoted’.md"])('may be called %s', async (name) => {
    const response = await postForm(attachments, formOf(name, Buffer.from(name)))
    const attachment = (await response.json()) as Attachment
    expect(attachment.name).toBe(name)
    expect((await download(pool.wire, attachment)).body.toString()).toBe(name)
  })

  it('is fetched by clients that follow the redirect, and their token stays behind', async () => {
    const response = await postForm(attachments, formOf('notes.txt', Buffer.from('read me')))
    const attachment = (await response.json()) as Attachment
    company.arrived()
    const followed = await fetch(addressOf(attachment), { headers: { authorization: `Bearer ${token}` } })
    expect(await followed.text()).toBe('read me')
    if (curlInstalled) {
      const { status, body } = await curl(['-L', '-H', `Authorization: Bearer ${token}`, addressOf(attachment)])
      expect([status, body.toString()]).toEqual([200, 'read me'])
    }
    const seen = company.arrived()
    expect(seen.length).toBe(curlInstalled ? 4 : 2)
    expect(seen.flatMap(({ rawHeaders }) => rawHeaders).join('\n')).not.toContain(token)
  })

  it('that does not exist is 404 of Devin, not a redirect', async () => {
    const { status } = await sdk(fetchWire).ask('GET', `${attachments}/2d3d9f0a-0000-4000-8000-000000000000/none.txt`)
    expect(status).toBe(404)
  })
})
