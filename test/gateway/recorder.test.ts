// How the records name what an exchange came to.

import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { RequestContext } from '../../src/gateway/context.ts'
import { createRecorder } from '../../src/gateway/recording/recorder.ts'
import type { AccessEntry } from '../../src/records/entries.ts'
import { policyFrom } from '../support/policies.ts'

const policy = policyFrom({})

/** The outcome that the access record of an exchange has. */
function outcomeOf(ended: Partial<Pick<RequestContext, 'cache' | 'ownPage' | 'replayed' | 'upstreamStatus'>>): string {
  const request = new IncomingMessage(new Socket())
  const opening = { decisionId: 'd', method: 'GET', rawTarget: '/', policy, nowMs: 0 }
  const events = { failed() {}, leaving() {}, ended() {} }
  const context = new RequestContext(request, new ServerResponse(request), opening, events)
  Object.assign(context, ended, { status: 200 })
  const written: AccessEntry[] = []
  const recorder = createRecorder(
    { access: (entry) => (written.push(entry), null), decision() {}, flush() {} },
    { exchangeStarted() {}, observeExchange() {} },
    () => 0,
    () => 0,
  )
  recorder.record(context)
  return written.map(({ outcome }) => outcome).join()
}

test('what the gateway answers by itself is not taken for an answer from the cache', () => {
  expect(outcomeOf({})).toBe('answered')
  expect(outcomeOf({ ownPage: 'gateway.me' })).toBe('answered')
})

test('an answer of Devin is forwarded, from the cache, or given again', () => {
  expect(outcomeOf({ cache: 'hit' })).toBe('cached')
  expect(outcomeOf({ cache: 'collapsed' })).toBe('cached')
  expect(outcomeOf({ cache: 'miss', upstreamStatus: 200 })).toBe('forwarded')
  expect(outcomeOf({ cache: 'validated', upstreamStatus: 304 })).toBe('forwarded')
  expect(outcomeOf({ cache: 'stale', upstreamStatus: 503 })).toBe('cached')
  expect(outcomeOf({ replayed: true })).toBe('replayed')
})
