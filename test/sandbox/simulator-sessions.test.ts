// Sessions of the simulator: how they live, what can be asked of them, and the files that go with them.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { keyOf, startBench, upload, type Asked, type Bench } from './simulator-support.ts'

const SESSIONS = '/v3/organizations/org-payments/sessions'

let bench: Bench
beforeEach(async () => {
  bench = await startBench()
})
afterEach(() => bench.close())

function run(target: string, body?: unknown): Promise<Asked> {
  return bench.ask('payments-runner', target, { body })
}

async function create(body: object = { prompt: 'Tidy the ledger' }): Promise<string> {
  const { status, body: session } = await run(`POST ${SESSIONS}`, body)
  expect(status).toBe(200)
  return session.session_id
}

async function stateOf(id: string): Promise<[status: string, detail: string | null]> {
  const { body } = await run(`GET ${SESSIONS}/${id}`)
  return [body.status, body.status_detail]
}

function idsOf({ body }: Asked): string[] {
  return body.items.map((item: { session_id: string }) => item.session_id.slice(-2))
}

describe('the life of a session', () => {
  it('goes from new to claimed, works, waits and falls asleep by the clock alone', async () => {
    const id = await create()
    expect(await stateOf(id)).toEqual(['new', null])
    bench.pass(2)
    expect(await stateOf(id)).toEqual(['claimed', null])
    bench.pass(2)
    expect(await stateOf(id)).toEqual(['running', 'working'])
    bench.pass(60)
    expect(await stateOf(id)).toEqual(['running', 'waiting_for_user'])
    bench.pass(30 * 60)
    expect(await stateOf(id)).toEqual(['suspended', 'inactivity'])
  })

  it('consumes while it works, four times as fast in fast mode', async () => {
    const [normal, fast] = [await create(), await create({ prompt: 'x', devin_mode: 'fast' })]
    const acus = async (id: string): Promise<number> => (await run(`GET ${SESSIONS}/${id}`)).body.acus_consumed
    expect(await acus(normal)).toBe(0)
    bench.pass(4 + 30)
    expect([await acus(normal), await acus(fast)]).toEqual([0.5, 2])
    bench.pass(3600)
    expect([await acus(normal), await acus(fast)]).toEqual([1, 4])
  })

  it('is put to sleep when the limit of the session is reached', async () => {
    const id = await create({ prompt: 'x', devin_mode: 'fast', max_acu_limit: 2 })
    bench.pass(60)
    expect(await stateOf(id)).toEqual(['suspended', 'usage_limit_exceeded'])
    expect((await run(`GET ${SESSIONS}/${id}`)).body.acus_consumed).toBe(2)
  })

  it('is woken by a message, and answers when the work is done', async () => {
    const id = await create()
    bench.pass(2 * 3600)
    expect(await stateOf(id)).toEqual(['suspended', 'inactivity'])
    await run(`POST ${SESSIONS}/${id}/messages`, { message: 'And the tests' })
    expect(await stateOf(id)).toEqual(['resuming', null])
    bench.pass(2)
    expect(await stateOf(id)).toEqual(['running', 'working'])
    const words = async (): Promise<string[]> => {
      const { body } = await run(`GET ${SESSIONS}/${id}/messages`)
      return body.items.map((item: { source: string; message: string }) => `${item.source}: ${item.message}`)
    }
    const so = ['user: Tidy the ledger', 'devin: Done: Tidy the ledger', 'user: And the tests']
    expect(await words()).toEqual(so)
    bench.pass(60)
    expect(await words()).toEqual([...so, 'devin: Done: And the tests'])
    expect((await run(`GET ${SESSIONS}/${id}`)).body.acus_consumed).toBe(2)
  })

  it('cannot be woken once it is terminated', async () => {
    const id = await create()
    bench.pass(10)
    const { body } = await run(`DELETE ${SESSIONS}/${id}?archive=true`)
    expect(body).toMatchObject({ status: 'exit', status_detail: 'user_request', is_archived: true, acus_consumed: 0.1 })
    bench.pass(600)
    expect((await run(`GET ${SESSIONS}/${id}`)).body.acus_consumed).toBe(0.1)
    expect((await run(`POST ${SESSIONS}/${id}/messages`, { message: 'x' })).status).toBe(409)
  })

  it('sleeps and stays readable once it is archived, and cannot be changed', async () => {
    const id = await create()
    await run(`POST ${SESSIONS}/${id}/archive`)
    expect((await run(`GET ${SESSIONS}/${id}`)).body).toMatchObject({ status: 'suspended', is_archived: true })
    expect((await run(`PUT ${SESSIONS}/${id}/tags`, { tags: [] })).status).toBe(409)
  })
})

describe('reading sessions', () => {
  it('takes an id bare and with its prefix', async () => {
    const id = await create()
    expect(id).toMatch(/^devin-[0-9a-f]{32}$/)
    const bare = await run(`GET ${SESSIONS}/${id.slice('devin-'.length)}`)
    expect(bare.body.session_id).toBe(id)
    expect(idsOf(await run(`GET ${SESSIONS}?session_ids=${id.slice('devin-'.length)}`))).toEqual([id.slice(-2)])
  })

  it('hides sessions of another organization', async () => {
    expect((await run(`GET ${SESSIONS}/devin-5a1f00000000000000000000000000b1`)).status).toBe(404)
    expect((await run(`GET ${SESSIONS}/devin-none`)).body).toMatchObject({ status: 404, detail: 'Session not found' })
  })

  it.each([
    ['', ['a1', 'a2', 'a3', 'a4']],
    ['tags=upgrade&tags=none', ['a1']],
    ['is_archived=true', ['a4']],
    ['user_ids=email%7C65f0a1', ['a2']],
    ['service_user_ids=payments-runner&is_archived=false', ['a1', 'a3']],
    ['origins=webapp', ['a2']],
    ['repo_names=corp/ledger', ['a3']],
    [`created_after=${Date.UTC(2026, 9, 5, 8) / 1000}`, ['a1', 'a2']],
    [`updated_before=${Date.UTC(2026, 9, 5, 8) / 1000}`, ['a3', 'a4']],
    ['category=bug', []],
    ['unknown=1', ['a1', 'a2', 'a3', 'a4']],
  ])('filters by %s', async (query, ids) => {
    expect(idsOf(await run(`GET ${SESSIONS}?${query}`))).toEqual(ids)
  })

  it('narrows the enterprise list to organizations, and one session by org_id', async () => {
    const list = await bench.ask('analytics', 'GET /v3/enterprise/sessions?org_ids=org-research&org_ids=org-platform')
    expect(idsOf(list)).toEqual(['b1', 'c2', 'b2', 'c1'])
    const one = 'GET /v3/enterprise/sessions/5a1f00000000000000000000000000b1'
    expect((await bench.ask('analytics', `${one}?org_id=org-platform`)).body.org_id).toBe('org-platform')
    expect((await bench.ask('analytics', `${one}?org_id=org-research`)).status).toBe(404)
  })
})

describe('tags and insights', () => {
  it('appends and replaces tags, fifty at most', async () => {
    const id = await create({ prompt: 'x', tags: ['a'] })
    const tags = (method: string, list: string[]): Promise<Asked> =>
      run(`${method} ${SESSIONS}/${id}/tags`, { tags: list })
    expect((await tags('POST', ['a', 'b'])).body).toEqual({ tags: ['a', 'b'] })
    const many = Array.from({ length: 50 }, (_, index) => `t${index}`)
    expect((await tags('POST', many)).status).toBe(422)
    expect((await tags('PUT', many)).body.tags).toHaveLength(50)
    expect((await tags('PUT', [...many, 'x'])).status).toBe(422)
    expect((await run(`GET ${SESSIONS}/${id}/tags`)).body.tags).toHaveLength(50)
  })

  it('generates insights in the background, once', async () => {
    const id = await create()
    const insights = async (): Promise<unknown> => (await run(`GET ${SESSIONS}/${id}/insights`)).body.analysis
    expect((await run(`POST ${SESSIONS}/${id}/insights/generate`)).body).toEqual({ session_id: id, status: 'started' })
    expect(await insights()).toBeNull()
    bench.pass(5)
    expect(await insights()).toMatchObject({ suggested_prompt: { original_prompt: 'Tidy the ledger' } })
    expect((await run(`POST ${SESSIONS}/${id}/insights/generate`)).body.status).toBe('already_exists')
  })

  it('refuses an unknown platform by naming the known ones', async () => {
    const { status, body } = await run(`POST ${SESSIONS}`, { prompt: 'x', platform: 'amiga' })
    expect([status, body.detail]).toEqual([400, "Unknown platform 'amiga'. Allowed: linux, windows, macos"])
  })
})

describe('attachments', () => {
  const ATTACHMENTS = '/v3/organizations/org-payments/attachments'

  it('keeps an upload and hands it out by redirect to an address that needs no key and lives a minute', async () => {
    const contents = 'Grüße '.repeat(100_000)
    const uploaded = await run(`POST ${ATTACHMENTS}`, upload(contents, 'my notes.txt'))
    expect(uploaded.body).toMatchObject({ name: 'my notes.txt' })
    expect(uploaded.body.url).toBe(`${bench.origin}${ATTACHMENTS}/${uploaded.body.attachment_id}/my%20notes.txt`)
    const download = await run(`GET ${uploaded.body.url.slice(bench.origin.length)}`)
    const location = download.headers.get('location') ?? ''
    expect(download.status).toBe(307)
    const fetched = await fetch(location)
    expect([await fetched.text(), fetched.headers.get('content-type')]).toEqual([contents, 'text/plain'])
    expect((await fetch(location.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).status).toBe(403)
    bench.pass(61)
    expect((await fetch(location)).status).toBe(403)
  })

  it('gives a file to its own organization and under its own name only', async () => {
    const { body } = await run(`POST ${ATTACHMENTS}`, upload('x', 'a.txt'))
    expect((await run(`GET ${ATTACHMENTS}/${body.attachment_id}/b.txt`)).status).toBe(404)
    const other = `GET /v3/organizations/org-platform/attachments/${body.attachment_id}/a.txt`
    expect((await bench.ask('platform-runner', other)).status).toBe(404)
  })

  it('lists what a session was given, as a bare array', async () => {
    const { body } = await run(`POST ${ATTACHMENTS}`, upload('x', 'a b.txt'))
    const id = await create({ prompt: 'x', attachment_urls: [body.url] })
    const listed = {
      attachment_id: body.attachment_id,
      name: 'a b.txt',
      url: body.url,
      source: 'user',
      content_type: null,
    }
    expect((await run(`GET ${SESSIONS}/${id}/attachments`)).body).toEqual([listed])
  })

  it('refuses an upload without the part named file', async () => {
    const form = new FormData()
    form.append('other', 'x')
    const { status, body } = await run(`POST ${ATTACHMENTS}`, form)
    expect([status, body.detail[0].loc]).toEqual([422, ['body', 'file']])
  })

  it('takes a chunked upload of unknown length', async () => {
    const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="c.bin"\r\n\r\n'
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(Buffer.from(part))
        for (let index = 0; index < 64; index += 1) controller.enqueue(Buffer.alloc(65_536, index))
        controller.enqueue(Buffer.from('\r\n--b--\r\n'))
        controller.close()
      },
    })
    const headers = {
      authorization: `Bearer ${keyOf('payments-runner')}`,
      'content-type': 'multipart/form-data; boundary=b',
    }
    const response = await fetch(bench.origin + ATTACHMENTS, { method: 'POST', headers, body, duplex: 'half' })
    const { url } = (await response.json()) as { url: string }
    const download = await run(`GET ${url.slice(bench.origin.length)}`)
    const contents = await (await fetch(download.headers.get('location') ?? '')).arrayBuffer()
    expect(contents.byteLength).toBe(64 * 65_536)
  })
})
