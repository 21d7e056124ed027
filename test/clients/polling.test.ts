// Programs that watch a session: one read of the session and one of its new messages at each tick, many at once.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCompany, organization, type Company } from './company.ts'
import { Sdk, type Message, type Page, type Session } from './sdk.ts'
import { curlInstalled, curlWire, fetchWire, openPool, type Wire } from './wires.ts'

const sessions = `/v3/organizations/${organization}/sessions`
const ended = new Set(['exit', 'error'])

/** Follows a session to its end. Three failed polls in a row end the watch. */
async function follow(devin: Sdk, id: string, everyMs: number, onMessage: (text: string) => void): Promise<Session> {
  let cursor: string | null = null
  for (let failures = 0; ;) {
    const session: Session | null = await devin.call<Session>('GET', `${sessions}/${id}`).catch(() => null)
    if (session === null) {
      failures += 1
      if (failures === 3) throw new Error('three failed polls')
    } else {
      failures = 0
      const page: Page<Message> = await devin.call('GET', `${sessions}/${id}/messages`, {
        query: cursor === null ? { first: 1 } : { first: 1, after: cursor },
      })
      for (const { message } of page.items) onMessage(message)
      cursor = page.end_cursor ?? cursor
      if (ended.has(session.status) && !page.has_next_page && page.items.length === 0) return session
    }
    await sleep(everyMs)
  }
}

const pool = openPool(6)
let company: Company
beforeAll(async () => {
  company = await openCompany()
})
afterAll(async () => {
  pool.close()
  await company.close()
})

describe('programs that watch one session', () => {
  it('all see every message once, in order, and the end', async () => {
    const token = await company.token('builder')
    const sdk = (wire: Wire): Sdk => new Sdk({ base: company.base, token, wire })
    const starter = sdk(fetchWire)
    const { session_id: id } = await starter.call<Session>('POST', sessions, { json: { prompt: 'begin' } })

    const wires = [fetchWire, fetchWire, pool.wire, pool.wire, pool.wire, ...(curlInstalled ? [curlWire] : [])]
    const watches = wires.map(async (wire) => {
      const heard: string[] = []
      const { status } = await follow(sdk(wire), id, 30, (text) => heard.push(text))
      return { status, heard }
    })
    for (const message of ['more', 'and more', 'enough']) {
      await starter.call('POST', `${sessions}/${id}/messages`, { json: { message } })
    }
    await starter.call('DELETE', `${sessions}/${id}`)

    for (const watch of await Promise.all(watches)) {
      expect(watch).toEqual({ status: 'exit', heard: ['begin', 'more', 'and more', 'enough'] })
    }
  })

  it('give up after three failed polls in a row when their token has run out', async () => {
    const devin = new Sdk({ base: company.base, token: await company.token('builder', -60), wire: fetchWire })
    await expect(follow(devin, 'devin-any', 1, () => {})).rejects.toThrow('three failed polls')
  })
})
