// Filtered lists of 10,000 items through a process of its own whose memory is watched: they are cut into items while they
// arrive, and take the memory of a few.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const mebibyte = 1024 * 1024
let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: StartedGateway
let token: string

beforeAll(async () => {
  upstream = await startUpstream()
  issuer = await startIssuer()
  site = await createSite({
    upstream: upstream.origin,
    issuer,
    config: 'catalogue: { files: [more.yaml] }',
    policies: {
      'teams/pair.yaml': `team: pair
members: [{ groups: [sso-pair] }]
organizations: [org-a, org-b]
grants: [{ id: read, allow: [ent.sessions.list, ent.reports.list] }]
`,
      'guardrails.yaml': `guardrails:
  - { id: own, on: [ent.sessions.list, ent.reports.list], response: { filter_items_by: organizations } }
`,
    },
  })
  await writeFile(
    join(site.directory, 'more.yaml'),
    `operations:
  - id: ent.reports.list
    method: GET
    path: /v3/enterprise/reports
    scope: enterprise
    answer: { form: page, items: data, organization: org_id }
`,
  )
  gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
  token = await issuer.sign({ groups: ['sso-pair'] })
})
afterAll(async () => {
  await gateway.kill()
  await upstream.close()
  await issuer.stop()
  await site.remove()
})

/** The most memory that the process ever had. */
async function highWater(): Promise<number> {
  const status = await readFile(`/proc/${gateway.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

/** Answers with a list, as fast as it is read; every second item is of the caller. */
function serve(member: string, items: number, text: string): void {
  const item = (index: number): string =>
    `{"org_id":"${index % 2 === 0 ? 'org-b' : 'org-y'}","session_id":"devin-${index}","text":"${text}"}`
  upstream.takeOver((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write(`{"has_next_page":false,"${member}":[`)
    let sent = 0
    const more = (): void => {
      while (sent < items) {
        const hasRoom = response.write(item(sent) + (sent === items - 1 ? ']}' : ','))
        sent += 1
        if (!hasRoom) {
          response.once('drain', more)
          return
        }
      }
      response.end()
    }
    more()
  })
}

/** What a caller gets that reads as fast as it can: how many items, and whether any is not its own. */
async function read(path: string): Promise<{ items: number; isForeign: boolean }> {
  const url = `http://127.0.0.1:${gateway.port}/v3/enterprise/${path}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  expect(response.status).toBe(200)
  let [items, isForeign, rest] = [0, false, '']
  for await (const chunk of response.body ?? []) {
    const text = rest + Buffer.from(chunk).toString('latin1')
    items += text.split('"session_id"').length - 1
    isForeign ||= text.includes('org-y')
    // One letter less than the name: what goes on in the next chunk is counted there, and nothing twice.
    rest = text.slice(1 - '"session_id"'.length)
  }
  return { items, isForeign }
}

test.runIf(process.platform === 'linux').each([
  ['that come whole', 'reports', 'data', 10_000, 1_000],
  ['in a page that Devin makes too long', 'sessions?first=200', 'items', 10_000, 1_000],
])('10,000 items pass in 50 MiB of extra memory: %s', async (_, path, member, count, length) => {
  // Room for young objects is taken by any traffic, and kept.
  serve(member, 5_000, 'x'.repeat(length))
  await read(path)
  const before = await highWater()
  serve(member, count, 'x'.repeat(length))
  const { items, isForeign } = await read(`${path}${path.includes('?') ? '&' : '?'}tags=other`)
  expect({ items, isForeign }).toEqual({ items: member === 'data' ? 5_000 : 200, isForeign: false })
  expect(((await highWater()) - before) / mebibyte).toBeLessThan(50)
})
