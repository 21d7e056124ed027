// Incident drills with the console alone: each state is made for real, and the view "Now" has to name the fault and its owner.

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  describeWithChromium,
  readAgain,
  startBrowser,
  type Browsing,
  type ConsolePageInBrowser,
} from '../support/browser.ts'
import { createAuthority, endingIn } from '../support/certificates.ts'
import { startIssuer } from '../support/issuer.ts'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'

interface Told {
  readonly fault: RegExp
  readonly owner: string
  readonly advice: RegExp
}

/** Waits until the view shows the fault, and checks that its card names the owner, since when, and what to do. */
async function expectTold(view: ConsolePageInBrowser, { fault, owner, advice }: Told): Promise<void> {
  const cards = `[...document.querySelectorAll('.trouble')].map((card) => card.innerText)`
  await view.page.waitForFunction(`${readAgain}, ${cards}.some((text) => ${String(fault)}.test(text))`, {
    polling: 100,
  })
  const found = (await view.page.evaluate(cards)) as readonly string[]
  const card = (found.find((text) => fault.test(text)) ?? '').replaceAll(/\s*\n\s*/g, '\n')
  expect(card).toContain(`Owner\n${owner}`)
  expect(card).toMatch(/Since\n\d\d:\d\d:\d\d, \d+ s ago|Since\n.*(?:min|h|days) ago/)
  expect(card).toMatch(new RegExp(`What to do\\n.*${advice.source}`))
}

describeWithChromium('the view "Now"', () => {
  let browsing: Browsing
  beforeAll(async () => {
    browsing = await startBrowser()
  })
  afterAll(() => browsing.close())

  describe('at an instance that has just been started', () => {
    let running: RunningGateway
    let view: ConsolePageInBrowser
    beforeAll(async () => {
      const issuer = await startIssuer()
      await issuer.stop()
      const { cert, key } = createAuthority('a test authority').issue({
        name: '127.0.0.1',
        validity: endingIn(3.5, Date.now()),
      })
      running = await startTestGateway({
        issuer,
        listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }',
        files: { 'cert.pem': cert, 'key.pem': key },
        records: { audit: '/dev/full' },
        awaitReady: false,
      })
      view = await browsing.console(running.adminUrl)
      await view.open('now')
    }, 60_000)
    afterAll(() => running.close())

    test.each<readonly [string, Told]>([
      [
        'the issuer is down',
        { fault: /Issuer http.* cannot be used/, owner: 'identity team', advice: /Ask the identity team/ },
      ],
      [
        'the disk is full',
        { fault: /audit log cannot be written \(the disk is full\)/, owner: 'platform', advice: /Free space/ },
      ],
      [
        'the certificate is about to end',
        { fault: /certificate ends at .*in 3 days/, owner: 'platform', advice: /renewed certificate/ },
      ],
    ])('%s', async (_name, told) => {
      await expectTold(view, told)
    })
  })

  describe('at an instance whose clock is ahead', () => {
    let running: RunningGateway
    let view: ConsolePageInBrowser
    beforeAll(async () => {
      running = await startTestGateway()
      view = await browsing.console(running.adminUrl)
      await view.open('now')
    }, 60_000)
    afterAll(async () => {
      await running.close()
      vi.restoreAllMocks()
    })

    test('half of the answers of Devin take longer than 5 s', async () => {
      let aheadMs = 0
      const real = performance.now.bind(performance)
      vi.spyOn(performance, 'now').mockImplementation(() => real() + aheadMs)
      await running.call(sessions)
      running.upstream.respond((_request, response) => {
        aheadMs += 7_300
        response.end('{"items":[]}')
      })
      await running.call(`${sessions}?first=2`)
      const answer = await running.call(`${sessions}?first=3`)
      expect(answer.status).toBe(200)
      await expectTold(view, {
        fault: /Devin is slow: half of the answers take longer than 7\.\d s/,
        owner: 'Devin',
        advice: /Devin's status page/,
      })
    })
  })

  describeWithValkey('at an instance with traffic and a shared store', () => {
    let store: StoreServer
    let running: RunningGateway
    let view: ConsolePageInBrowser
    beforeAll(async () => {
      store = await startStoreServer()
      running = await startTestGateway({
        upstream: '{ origin: "ORIGIN", connections: 1 }',
        config: `store: { nodes: "${store.address}", timeout: 250ms }\nbudgets: { poll: 100ms }`,
        policies: {
          'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}owner: payments-leads
limits: { sessions: 1/day }
`,
        },
      })
      view = await browsing.console(running.adminUrl)
      // Of the budget, which is read every few seconds.
      running.upstream.respond((_request, response) => response.writeHead(200).end('{"session_id":"devin-1"}'))
      await running.call(sessions, { method: 'POST', body: '{"prompt":"x"}' })
      await view.open('now')
    }, 60_000)
    afterAll(async () => {
      await running.close()
      await store.close()
    })

    test('a changed policy set is refused', async () => {
      await running.writePolicy('teams/analytics.yaml', 'team: analytics\nmembers: nobody\n')
      await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
      await expectTold(view, {
        fault: /changed policies were refused.*analytics\.yaml:\d+:\d+/,
        owner: 'policy owner',
        advice: /Correct the file and line/,
      })
    })

    test('a caller whose token leaked is blocked, and keeps calling', async () => {
      await fetch(`${running.adminUrl}/api/blocks`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ kind: 'subject', value: 'mallory', reason: 'token leaked' }),
      })
      await running.call(sessions, { claims: { sub: 'mallory' } })
      await expectTold(view, {
        fault: /mallory is blocked and keeps calling/,
        owner: 'platform',
        advice: /Find out who holds the credentials/,
      })
    })

    test('Devin is slow, and requests wait for a connection', async () => {
      const held: (() => void)[] = []
      running.upstream.respond((_request, response) => void held.push(() => response.end('{"items":[]}')))
      const calls = [1, 2, 3].map((first) => running.call(`${sessions}?first=${first}`))
      await expectTold(view, {
        fault: /only connection to Devin is in use, and \d+ requests wait/,
        owner: 'Devin',
        advice: /whether Devin is slow/,
      })
      running.upstream.respond((_request, response) => response.end('{"items":[]}'))
      for (const release of held) release()
      await Promise.all(calls)
    })

    test('a key was revoked at Devin', async () => {
      running.upstream.respond((_request, response) => response.writeHead(401).end('{}'))
      for (let first = 1; first < 5; first += 1) await running.call(`${sessions}?first=${first}`)
      await expectTold(view, {
        fault: /Key payments-runner was rejected by Devin/,
        owner: 'platform',
        advice: /devin-gateway rotate payments-runner/,
      })
    })

    test('a budget is used up', async () => {
      await expectTold(view, {
        fault: /budget .*sessions.* of .*payments.* is used up/,
        owner: 'team',
        advice: /ends sessions that are not needed/,
      })
      await view.open('teams')
      await view.shows(
        'Nearest to the end of a budget: payments, which has used 100 % of sessions. It is used up until',
      )
      await view.open('now')
    })

    test('the cache is cut off, and the store is not lost', async () => {
      // Commands are answered, and no channel can be listened to. Then a message is missed.
      await store.command('ACL', 'SETUSER', 'default', '-subscribe')
      await store.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
      const purged = fetch(`${running.adminUrl}/api/purge?organization=org-payments`, { method: 'POST' })
      await expectTold(view, {
        fault: /cache is cut off although the shared store answers/,
        owner: 'platform',
        advice: /may subscribe to channels of the store/,
      })
      expect(await view.text()).not.toContain('The shared store is away')
      await store.command('ACL', 'SETUSER', 'default', '+subscribe')
      await purged
      await view.page.waitForFunction(`${readAgain}, !document.body.innerText.includes('cache is cut off')`, {
        polling: 100,
      })
    })

    test('the store is lost, and the cache is cut off with it', async () => {
      await store.kill()
      await running.call(sessions)
      await expectTold(view, { fault: /shared store is away/, owner: 'platform', advice: /Repair Valkey/ })
      await expectTold(view, {
        fault: /cache is cut off with the shared store/,
        owner: 'platform',
        advice: /joins again when the shared store is back/,
      })
      expect(await view.text()).not.toContain('although the shared store answers')
    })

    test('and with the issuer and Devin gone as well, every view still opens', async () => {
      await running.issuer.stop()
      await running.upstream.close()
      for (const path of [
        'now',
        'decisions',
        'teams',
        'teams/payments',
        'policies',
        'keys',
        'cache',
        'audit',
        'blocks',
      ]) {
        await view.open(path)
        const alerts = await view.page.evaluate(
          "[...document.querySelectorAll('[role=alert]')].map((each) => each.innerText)",
        )
        expect([path, await view.page.evaluate("document.querySelectorAll('main dl, main table').length > 0")]).toEqual(
          [path, true],
        )
        expect((alerts as string[]).filter((text) => !text.includes('analytics.yaml'))).toEqual([])
      }
      await view.open('explain?path=/v3/self&team=payments')
      await view.shows('would be')
    })
  })
})
