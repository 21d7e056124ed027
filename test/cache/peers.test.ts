// The cache and its peers, without a store: what a write waits for, what a read checks first, and messages of peers.

import { beforeEach, describe, expect, it } from 'vitest'
import type { Drop, PeerHandlers, Peers, BroadcastResult } from '../../src/cache/invalidation/peers.ts'
import { classRule, rfc9111, Setting, type Ask } from './support.ts'

const write: Ask = { method: 'POST', tags: ['things.list'] }

/** Peers that answer when a test says so. */
class FakePeers implements Peers {
  handlers: PeerHandlers | null = null
  atMostMs: number | null = null
  checks = 0
  readonly broadcasts: Drop[] = []
  #answer: ((result: BroadcastResult) => void) | null = null

  attach(handlers: PeerHandlers): void {
    this.handlers = handlers
  }

  check(): void {
    this.checks += 1
  }

  broadcast(drop: Drop): Promise<BroadcastResult> {
    this.broadcasts.push(drop)
    return new Promise((resolve) => (this.#answer = resolve))
  }

  async answer(): Promise<void> {
    this.#answer?.({ dropped: 2, instances: 3, silent: 0, reached: true })
    await new Promise((resolve) => setImmediate(resolve))
  }
}

let peers: FakePeers
let setting: Setting
beforeEach(() => {
  peers = new FakePeers()
  setting = new Setting(classRule, { peers })
})

describe('a write', () => {
  it('broadcasts what it drops: its path, its tags, and paths that its answer names', () => {
    setting.ask('/things?x', write)
    setting.call.answer(201, { location: '/things/1' })
    expect(peers.broadcasts).toEqual([{ names: ['things.list', '/things', '/things/1'], unsettled: false }])
  })

  it.each([404, 429])('that was refused with %i tells nobody, and does not wait', (status) => {
    const caller = setting.ask('/things', write)
    setting.call.answer(status)
    expect([caller.status, peers.broadcasts.length]).toEqual([status, 0])
  })

  it('is answered when all have dropped it, with all that came meanwhile, at the pace of its caller', async () => {
    const caller = setting.ask('/things', write)
    caller.hasRoom = false
    setting.call.head(200, {}, 6)
    expect([setting.call.sink.data(Buffer.from('ab')), setting.call.sink.data(Buffer.from('cd'))]).toEqual([
      false,
      false,
    ])
    expect(caller.isWaiting).toBe(true)
    await peers.answer()
    expect([caller.status, caller.body, setting.call.resumed]).toEqual([200, 'abcd', 0])
    caller.source?.resume()
    expect(setting.call.resumed).toBe(1)
    setting.call.sink.end(Buffer.from('ef'))
    expect([caller.body, caller.ended]).toEqual(['abcdef', true])
  })

  it('goes on by itself for a caller who has room', async () => {
    const caller = setting.ask('/things', write)
    setting.call.head(200, {}, 4)
    setting.call.sink.data(Buffer.from('ab'))
    await peers.answer()
    expect([caller.body, setting.call.resumed]).toEqual(['ab', 1])
  })

  it('that ends without an answer is broadcast as unsettled before its caller gets the failure', async () => {
    const caller = setting.ask('/things', write)
    setting.call.fail('upstream-timeout')
    expect([peers.broadcasts.at(-1)?.unsettled, caller.isWaiting]).toEqual([true, true])
    await peers.answer()
    expect(caller.problem?.kind).toBe('upstream-timeout')
  })

  it('that breaks off during the broadcast fails after its head', async () => {
    const caller = setting.ask('/things', write)
    setting.call.head(200, {}, 6)
    setting.call.fail()
    await peers.answer()
    expect([caller.status, caller.problem?.kind]).toEqual([200, 'upstream-unreachable'])
  })

  it('whose caller leaves meanwhile stops the upstream, and gives nothing to anybody', async () => {
    const caller = setting.ask('/things', write)
    setting.call.head(200, {}, 6)
    caller.source?.abort()
    await peers.answer()
    expect([setting.call.aborted, caller.status, peers.broadcasts.length]).toEqual([true, null, 1])
  })

  it('whose answer cannot be given fails for its caller alone', async () => {
    const caller = setting.ask('/things', write)
    caller.head = () => {
      throw new Error('no such field')
    }
    setting.call.head(200, {}, 6)
    await peers.answer()
    expect([caller.problem?.kind, setting.call.aborted]).toEqual(['internal', true])
  })
})

describe('a read', () => {
  it('asks first whether what is stored may be used, also when it would join a call', () => {
    setting.store()
    setting.ask()
    setting.ask('/others', { rule: { kind: 'never' } })
    expect(peers.checks).toBe(2)
  })

  it('uses nothing for longer than caution allows, and no team gets more than it wants', () => {
    setting.store()
    setting.pass(5)
    peers.atMostMs = 10_000
    expect(setting.ask().fields['cache-status']).toBe('devin-gateway; hit; ttl=5')
    expect(setting.ask('/things', { atMostMs: 7_000 }).fields['cache-status']).toBe('devin-gateway; hit; ttl=2')
    const ofTheUpstream = setting.ask('/x', { rule: rfc9111 })
    setting.call.answer(200, { 'cache-control': 's-maxage=60' })
    expect(ofTheUpstream.status).toBe(200)
    expect(setting.ask('/x', { rule: rfc9111 }).fields['cache-status']).toBe('devin-gateway; hit; ttl=10')
    peers.atMostMs = null
    expect(setting.ask().fields['cache-status']).toBe('devin-gateway; hit; ttl=25')
  })

  it('under way is neither kept nor joined when everything is dropped', () => {
    setting.store()
    const early = setting.ask('/other')
    const call = setting.call
    peers.handlers?.dropAll()
    const late = setting.ask('/other')
    call.answer(200, {}, 'old')
    expect([early.body, late.isWaiting, setting.cache.stats().entries]).toEqual(['old', true, 0])
  })
})
