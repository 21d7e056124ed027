// Programs that retry: reads on everything that may pass, creates only when they were surely not processed, and never
// sooner than Retry-After says.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'
import { openCompany, organization, type Company } from './company.ts'
import { Sdk, type Session } from './sdk.ts'
import { fetchWire, type Incoming, type Wire } from './wires.ts'

/** Keeps every answer that a wire brought. */
function observed(wire: Wire): { readonly wire: Wire; readonly answers: Incoming[] } {
  const answers: Incoming[] = []
  return {
    answers,
    async wire(url, outgoing) {
      const answer = await wire(url, outgoing)
      answers.push(answer)
      return answer
    },
  }
}

describe('a program that is faster than its team may be', () => {
  let company: Company
  beforeAll(async () => {
    company = await openCompany()
  })
  afterAll(() => company.close())

  it('waits as Retry-After says, and each of its requests is done exactly once', async () => {
    const { wire, answers } = observed(fetchWire)
    const devin = new Sdk({ base: company.base, token: await company.token('hasty'), wire, retries: 8 })
    company.arrived()
    const sessions = `/v3/organizations/${organization}/sessions`
    const created = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        devin.call<Session>('POST', sessions, { json: { prompt: `task ${index}` } }),
      ),
    )
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThanOrEqual(1)
    for (const { fields, body } of refused) {
      expect(fields['retry-after']).toMatch(/^[1-9]\d*$/)
      expect(JSON.parse(body.toString())).toMatchObject({ status: 429, detail: expect.any(String) })
    }
    expect(new Set(created.map(({ session_id }) => session_id)).size).toBe(6)
    expect(company.arrived().length).toBe(6)
  })
})

describe('a program whose Devin fails', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startTestGateway()
  })
  afterAll(() => gateway.close())

  const sessions = '/v3/organizations/org-payments/sessions'
  async function program(retries: number): Promise<{ devin: Sdk; answers: Incoming[] }> {
    const { wire, answers } = observed(fetchWire)
    gateway.upstream.seen.length = 0
    return { devin: new Sdk({ base: gateway.url, token: await gateway.token(), wire, retries }), answers }
  }

  it('creates once when the connection breaks after the create was sent, and gets a 502 in JSON', async () => {
    const { devin, answers } = await program(5)
    gateway.upstream.respond((request) => request.socket.destroy())
    const failure = await devin.call('POST', sessions, { json: { prompt: 'go' } }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ status: 502, message: expect.stringMatching(/\w+ \w+/) })
    expect(answers.map(({ fields }) => fields['content-type'])).toEqual(['application/problem+json'])
    expect(gateway.upstream.seen.map(({ method }) => method)).toEqual(['POST'])
  })

  it('that sends a key repeats its create until it is done, and it is done once', async () => {
    const { wire, answers } = observed(fetchWire)
    gateway.upstream.seen.length = 0
    const devin = new Sdk({ base: gateway.url, token: await gateway.token(), wire, retries: 5, idempotencyKeys: true })
    // Refused twice by Devin for a conflict of its own, which did nothing; then created.
    gateway.upstream.respond((_request, response) => {
      const status = gateway.upstream.seen.length < 3 ? 409 : 201
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"session_id":"s-1"}')
    })
    expect(await devin.call('POST', sessions, { json: { prompt: 'go' } })).toEqual({ session_id: 's-1' })
    expect(answers.map(({ status }) => status)).toEqual([409, 409, 201])
  })

  it('that sends a key and lost the answer learns that the outcome is unknown, and stops', async () => {
    const { wire, answers } = observed(fetchWire)
    gateway.upstream.seen.length = 0
    const impatient: Wire = async (url, outgoing) => {
      const answer = await wire(url, outgoing)
      // A client that does not know the field of the SDKs repeats what it reads as a passing failure.
      if (answer.status !== 502) return answer
      const { 'x-should-retry': _unknown, ...fields } = answer.fields
      return { ...answer, fields }
    }
    const devin = new Sdk({
      base: gateway.url,
      token: await gateway.token(),
      wire: impatient,
      retries: 5,
      idempotencyKeys: true,
    })
    gateway.upstream.respond((request) => void request.socket.destroy())
    const failure: unknown = await devin
      .call('POST', sessions, { json: { prompt: 'go' } })
      .catch((error: unknown) => error)
    expect(failure).toMatchObject({ status: 409, message: expect.stringMatching(/nobody knows whether it was done/) })
    expect(answers.map(({ status }) => status)).toEqual([502, 409])
    expect(gateway.upstream.seen.map(({ method }) => method)).toEqual(['POST'])
  })

  it('reads again when the connection breaks, and the gateway by itself does not', async () => {
    const { devin, answers } = await program(2)
    let broken = 0
    gateway.upstream.respond((request, response) => {
      broken += 1
      if (broken < 3) request.socket.destroy()
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[],"has_next_page":false}')
    })
    expect(await devin.call('GET', sessions)).toMatchObject({ items: [] })
    expect(answers.map(({ status }) => status)).toEqual([502, 502, 200])
    expect(gateway.upstream.seen.length).toBe(3)
  })

  it.each([
    [400, '{"detail":"no"}', 'no'],
    [409, '{"title":"Conflict","status":409,"detail":"busy"}', 'busy'],
    [422, '{"detail":[{"loc":["body","prompt"],"msg":"Field required","type":"missing"}]}', 'Field required'],
    [500, '{"message":"oops"}', 'oops'],
    [503, '{"error":"away"}', 'away'],
  ])('shows its user the text that Devin gave with %i', async (status, body, text) => {
    const { devin } = await program(0)
    gateway.upstream.respond((_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    })
    await expect(devin.call('GET', sessions)).rejects.toMatchObject({ status, message: text })
  })

  it.each([
    ['a bare text', 200, '"https://app.devin.ai/attachments/1/a.txt"'],
    ['a bare list', 200, '[{"attachment_id":"1"}]'],
    ['nothing', 204, ''],
  ])('reads an answer that is %s', async (_what, status, body) => {
    const { devin, answers } = await program(0)
    gateway.upstream.respond((_request, response) => {
      response.writeHead(status, status === 204 ? {} : { 'content-type': 'application/json' }).end(body)
    })
    expect(await devin.call('GET', sessions)).toEqual(body === '' ? null : JSON.parse(body))
    expect([answers[0]?.status, answers[0]?.fields['content-type']]).toEqual([
      status,
      status === 204 ? undefined : 'application/json',
    ])
  })

  it("does not get a 401 when the gateway's key is rejected", async () => {
    const { devin } = await program(0)
    gateway.upstream.respond((_request, response) => {
      response.writeHead(401, { 'content-type': 'application/json' }).end('{"detail":"Invalid API key"}')
    })
    await expect(devin.call('GET', sessions)).rejects.toMatchObject({ status: 502 })
  })

  // The last one: after it the key of the gateway rests.
  it('gets what Devin says of waiting and retrying as Devin said it', async () => {
    const { devin, answers } = await program(0)
    const said = {
      'retry-after': '17',
      'retry-after-ms': '16500',
      'x-should-retry': 'false',
      'x-ratelimit-remaining': '0',
    }
    gateway.upstream.respond((_request, response) => {
      response.writeHead(429, { 'content-type': 'application/json', ...said }).end('{"detail":"slow down"}')
    })
    await expect(devin.call('GET', sessions)).rejects.toMatchObject({ status: 429, message: 'slow down' })
    expect(answers[0]?.fields).toMatchObject(said)
  })
})
