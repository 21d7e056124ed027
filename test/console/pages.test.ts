// The console in a real browser: every view, both themes, both widths, the keyboard, and what it may not do.

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HTTPRequest } from 'puppeteer-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecisionsView } from '../../src/admin/console/decision-view.ts'
import { consoleFiles, consolePolicy } from '../../src/admin/console/pages.ts'
import {
  describeWithChromium,
  readAgain,
  startBrowser,
  type Browsing,
  type ConsolePageInBrowser,
} from '../support/browser.ts'
import { colorsOf } from '../support/png.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

/** A folder for a picture of each view, theme and width; in CI there is one. */
const pictures = process.env['GATEWAY_TEST_PICTURES'] ?? ''
/** A page has more: the background, lines, and letters with their edges. */
const fewestColors = 16
const sessions = '/v3/organizations/org-payments/sessions'

let running: RunningGateway
let refusedId = ''
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}owner: payments-leads
limits: { requests: 1000/h }
`,
    },
  })
  for (let count = 0; count < 12; count += 1) await running.call(`${sessions}?first=${count + 1}`)
  const refused = await running.call('/v3/organizations/org-payments/secrets')
  refusedId = refused.headers.get('gateway-decision') ?? ''
  await running.call('/v3/organizations/org-other/sessions')
  await running.call('/v3/nothing', { token: null })
  await running.recorded(15)
})
afterAll(() => running.close())

const get = (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  fetch(`${running.adminUrl}${path}`, { headers, redirect: 'manual' })

/** Of two colours like #rrggbb, as WCAG 2.2 defines it. */
function contrast(a: string, b: string): number {
  const luminance = (color: string): number => {
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((from) => {
      const part = Number.parseInt(color.slice(from, from + 2), 16) / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].toSorted((one, other) => one - other)
  return (light + 0.05) / (dark + 0.05)
}

describe('the files of the console', () => {
  test('stay below 100 kB in all, compressed', async () => {
    const sizes = [...(await consoleFiles()).values()]
    expect(sizes.length).toBeGreaterThan(20)
    expect(sizes.reduce((all, size) => all + size, 0)).toBeLessThanOrEqual(100_000)
  })

  test('are served with a strict policy, which the page of every view has', async () => {
    for (const path of ['/console/', '/console/decisions?team=payments', '/console/teams/a.b', '/console/main.js']) {
      const answer = await get(path)
      expect([answer.status, answer.headers.get('content-security-policy')]).toEqual([200, consolePolicy])
    }
    expect(consolePolicy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
    expect(consolePolicy).not.toContain('unsafe')
    expect((await get('/console')).headers.get('location')).toBe('/console/')
  })

  test('hold no code or style within the page, and name no other site', async () => {
    const page = await (await get('/console/')).text()
    expect(page).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/)
    expect(page).not.toMatch(/https?:/)
  })

  test('are sent again only when they have changed', async () => {
    const first = await get('/console/main.js')
    const again = await get('/console/main.js', { 'if-none-match': first.headers.get('etag') ?? '' })
    expect([again.status, await again.text()]).toEqual([304, ''])
  })

  test('have colours in which text is read, in both themes', async () => {
    const style = await (await get('/console/style.css')).text()
    const pairs = [...style.matchAll(/--([\w-]+): light-dark\((#\w+), (#\w+)\)/g)]
    for (const theme of [2, 3]) {
      const colors = new Map(pairs.map((match) => [match[1] ?? '', match[theme] ?? '']))
      const of = (text: string, back: string): number =>
        contrast(colors.get(text) ?? 'missing', colors.get(back) ?? 'missing')
      const read = [
        ...['text', 'muted', 'link', 'bad'].flatMap((text) => ['page', 'card', 'hover'].map((back) => [text, back])),
        ...['good', 'bad', 'warn'].flatMap((kind) =>
          [kind, 'text', 'muted', 'link'].map((text) => [text, `${kind}-back`]),
        ),
        ['on-link', 'link'],
      ] as [string, string][]
      expect(read.filter(([text, back]) => !(of(text, back) >= 4.5))).toEqual([])
      const seen = ['edge', 'line-1', 'line-2', 'good', 'warn', 'bad'].flatMap((part) => [[part, 'card']]) as [
        string,
        string,
      ][]
      expect(seen.filter(([part, back]) => !(of(part, back) >= 3))).toEqual([])
    }
  })

  test('that are not there are refused, and nothing outside is read', async () => {
    for (const path of [
      '/console/none.js',
      '/console/lib/../../../package.json',
      '/console/views/none.js',
      '/console/lib/%2e%2e%2fpages.ts',
    ])
      expect([path, (await get(path)).status]).toEqual([path, 404])
  })
})

describeWithChromium('the console in a browser', () => {
  let browsing: Browsing
  let view: ConsolePageInBrowser
  beforeAll(async () => {
    if (pictures !== '') mkdirSync(pictures, { recursive: true })
    browsing = await startBrowser()
    view = await browsing.console(running.adminUrl)
  }, 60_000)
  afterAll(() => browsing.close())

  const views: Readonly<Record<string, { readonly path: () => string; readonly says: string }>> = {
    now: { path: () => 'now', says: 'not-granted' },
    decisions: { path: () => 'decisions', says: 'token-missing' },
    decision: { path: () => `decisions/${refusedId}`, says: 'What would allow this' },
    teams: { path: () => 'teams', says: 'payments-leads' },
    team: { path: () => 'teams/payments', says: 'What it never uses' },
    policies: { path: () => 'policies?team=payments', says: 'Reload history' },
    keys: { path: () => 'keys?key=payments-runner', says: 'holds what no right of any team needs from it' },
    cache: { path: () => 'cache', says: 'Drop stored answers' },
    audit: { path: () => 'audit', says: 'Hash of the head' },
    blocks: { path: () => 'blocks', says: 'Nobody is blocked.' },
    explain: {
      path: () => 'explain?method=GET&path=/v3/organizations/org-other/sessions&team=payments',
      says: 'would be refused: organization-not-granted',
    },
  }

  const looks = [
    ['light', 1280],
    ['dark', 390],
    ['dark', 1280],
    ['light', 390],
  ] as const

  test.each(Object.entries(views).map((each, index) => [...each, index] as const))(
    '%s: no findings of axe, nothing cut off and no secret, in both themes and both widths',
    async (name, { path, says }, index) => {
      await view.open(path())
      await view.shows(says)
      for (const [turn, [theme, width]] of looks.entries()) {
        await view.look(theme, width)
        if (pictures !== '') {
          const file = join(pictures, `${name}-${theme}-${width}.png`)
          await view.page.screenshot({ path: file, optimizeForSpeed: true })
          expect([file, colorsOf(readFileSync(file), fewestColors)]).toEqual([file, fewestColors])
        }
        const wider = await view.page.evaluate('document.documentElement.scrollWidth > innerWidth')
        expect([theme, width, wider]).toEqual([theme, width, false])
        // Each view in both themes and both widths; its neighbours in the other pairs.
        if (turn >> 1 === index % 2) expect([theme, width, await view.findings()]).toEqual([theme, width, []])
      }
      const html = await view.page.content()
      for (const secret of Object.values(usualKeys)) expect(html).not.toContain(secret)
    },
  )

  test.runIf(pictures !== '')('a picture of one colour is known as such', async () => {
    await view.page.goto('data:text/html,<body style="background:%23345">', { waitUntil: 'load' })
    expect(colorsOf(Buffer.from(await view.page.screenshot()), fewestColors)).toBe(1)
  })

  test('a view is a link: filters are in the address, and the back button goes back', async () => {
    await view.look('light', 1280)
    await view.open('decisions')
    await view.page.type('input[name=reason]', 'not-granted')
    // What is being written stays when the list is read again.
    const isRead = view.page.waitForResponse((answer) => answer.url().includes('/api/decisions'))
    await view.readAgain()
    await isRead
    await view.page.keyboard.press('Enter')
    await view.page.waitForFunction("location.search === '?reason=not-granted'")
    await view.page.waitForFunction("document.querySelectorAll('tbody tr').length === 1")
    await view.page.click('tbody a')
    await view.shows('Step by step, under the policies of now')
    await view.page.evaluate('history.back()')
    await view.page.waitForFunction("location.search === '?reason=not-granted'")
    await view.page.waitForFunction("document.querySelectorAll('tbody tr').length === 1")
    expect(await view.page.evaluate("document.querySelector('input[name=reason]').value")).toBe('not-granted')
  })

  test('the keyboard alone is enough: skip link, search key, and a dialog that gives the focus back', async () => {
    await view.open('decisions')
    await view.page.keyboard.press('Tab')
    expect(await view.page.evaluate('document.activeElement.className')).toBe('skip')
    await view.page.keyboard.press('Enter')
    await view.page.waitForFunction("document.activeElement.id === 'main'")
    await view.page.keyboard.press('/')
    await view.page.waitForFunction("document.activeElement.id === 'search'")
    expect(await view.page.evaluate('document.activeElement.value')).toBe('')
    await view.open('now')
    await view.page.keyboard.press('/')
    await view.page.waitForFunction(
      "location.pathname === '/console/decisions' && document.activeElement.id === 'search'",
    )
    // On a narrow page the form is folded, and opens for it.
    await view.look('light', 390)
    await view.open('decisions')
    expect(await view.page.evaluate("document.querySelector('details').open")).toBe(false)
    await view.page.keyboard.press('/')
    await view.page.waitForFunction("document.activeElement.id === 'search'")
    await view.look('light', 1280)
    await view.open('policies')
    // It is there once the roles are known.
    await view.page.waitForSelector('.head button')
    await view.page.focus('.head button')
    await view.page.keyboard.press('Enter')
    await view.page.waitForFunction("document.querySelector('dialog[open]') !== null")
    await view.page.keyboard.press('Escape')
    await view.page.waitForFunction("document.querySelector('dialog[open]') === null")
    expect(await view.page.evaluate('document.activeElement.textContent')).toBe('Reload')
  })

  test('a caller is blocked with a reason, and unblocked', async () => {
    await view.open('blocks?kind=subject&value=mallory')
    await (await view.page.waitForSelector('main button.danger'))?.click()
    await view.page.type('dialog[open] input', 'token leaked')
    await view.page.click('dialog[open] button[type=submit]')
    await view.shows('subject mallory is blocked on')
    expect((await running.call(sessions, { claims: { sub: 'mallory' } })).status).toBe(403)
    await view.page.click('dialog[open] .buttons button')
    await view.shows('token leaked')
    await view.page.click('tbody button')
    await view.page.type('dialog[open] input', 'new token')
    await view.page.click('dialog[open] button[type=submit]')
    await view.shows('The block of subject mallory was ended')
    await view.shows('Nobody is blocked.')
    expect((await running.call(sessions, { claims: { sub: 'mallory' } })).status).toBe(200)
  })

  test('a change asks for a reason and shows its result, and both are in the audit log', async () => {
    await view.open('policies')
    await (await view.page.waitForSelector('.head button'))?.click()
    await view.page.click('dialog[open] button[type=submit]')
    // Without a reason nothing is asked.
    expect(await view.page.evaluate("document.querySelector('dialog[open] input:invalid') !== null")).toBe(true)
    await view.page.type('dialog[open] input', 'INC-4711: größeres Team')
    await view.page.click('dialog[open] button[type=submit]')
    await view.shows('The policies are unchanged.')
    await view.open('audit')
    await view.shows('INC-4711: größeres Team')
    await view.page.evaluate(
      "[...document.querySelectorAll('button')].find((b) => b.innerText.startsWith('Check the chain')).click()",
    )
    await view.shows('The chain is unbroken')
  })

  test('what would allow a refused request is found by a button, as a patch that was tried', async () => {
    await view.open(`decisions/${refusedId}`)
    await view.page.click('main button.main')
    await view.page.waitForFunction("document.querySelector('pre, main .notice.warn') !== null")
    expect(await view.text()).not.toContain('Find changes')
  })

  test('a decision leads to what its caller may do, and a subject alone is told to say little', async () => {
    await view.open(`decisions/${refusedId}`)
    await view.shows('Ask what this caller may do')
    await view.page.evaluate("[...document.querySelectorAll('a')].find((a) => a.innerText.startsWith('Ask')).click()")
    await view.shows('/secrets would be refused: not-granted.')
    expect(await view.text()).not.toContain('A subject alone says little')
    await view.open('explain?path=/v3/self&sub=ann')
    await view.shows('A subject alone says little')
  })

  test('grants that nobody used are told, and what the last change of the policies did', async () => {
    await view.open('teams')
    await view.shows('index-repositories')
    expect(await view.text()).not.toContain('act-for-others')
    await view.open('teams/payments')
    await view.shows('nobody used it')
    await view.open('policies')
    await view.shows('Reload history')
    expect(await view.text()).not.toContain('Show what it changed')
    await running.writePolicy(
      'teams/analytics.yaml',
      (usualPolicies['teams/analytics.yaml'] ?? '').replace('ent.sessions.list, ', ''),
    )
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    await view.open('policies')
    await view.shows('Show what it changed')
    await view.page.evaluate(
      "[...document.querySelectorAll('button')].find((b) => b.innerText.startsWith('Show what')).click()",
    )
    await view.shows('teams/analytics.yaml changed')
    await view.shows('lose ent.sessions.list')
  })

  test('a budget shows what is reserved for sessions under way between what is spent and what is left', async () => {
    await running.writePolicy(
      'teams/payments.yaml',
      `${usualPolicies['teams/payments.yaml'] ?? ''}owner: payments-leads\nlimits: { requests: 1000/h, acus: 500/month }\n`,
    )
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    const created = await running.call(sessions, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"prompt":"x","max_acu_limit":7}',
    })
    expect(created.status).toBe(200)
    await view.open('teams/payments')
    await view.shows('Reserved')
    // The first figures that are shown may be from before the create.
    await until(async () => {
      const rows = await view.page.evaluate(
        "[...document.querySelectorAll('table')].find((table) => table.caption?.innerText === 'Budgets' || table.innerText.includes('Reserved')).innerText",
      )
      const [heads = [], ...budgets] = String(rows)
        .split('\n')
        .filter((line) => line.includes('\t'))
        .map((line) => line.split('\t'))
      const place = heads.indexOf('Reserved')
      expect(heads.slice(place - 1, place + 2)).toEqual(['Spent', 'Reserved', 'Left'])
      // What is left of a row behind a line break is no row.
      const whole = budgets.filter((cells) => cells.length > place)
      return whole.map((cells) => cells.slice(place - 1, place + 2).join(' ')).join() === '0 7 493'
    }, 'what is reserved to be shown')
  })

  test('a role sees no button for what it may not do', async () => {
    const page = view.page
    await page.setRequestInterception(true)
    const answer = (request: HTTPRequest): void => {
      if (!request.url().endsWith('/api/session')) return void request.continue()
      const session = { signed_in: 'browser', subject: 'eve', email: null, issuer: 'https://sso.corp.example' }
      const body = JSON.stringify({ ...session, roles: ['viewer'], since: null, until: null, idle_until: null })
      void request.respond({ status: 200, contentType: 'application/json', body })
    }
    page.on('request', answer)
    for (const path of ['policies', 'keys?key=payments-runner', 'blocks', 'cache', 'teams/payments']) {
      await view.open(path)
      await view.shows('eve (viewer)')
      expect([path, await page.evaluate("document.querySelectorAll('main dialog').length")]).toEqual([path, 0])
      if (path === 'blocks' || path === 'cache') await view.shows('needs the role operator')
    }
    page.off('request', answer)
    await page.setRequestInterception(false)
  })

  test('errors and views that do not exist are told in words', async () => {
    await view.open('nothing')
    await view.shows('There is no view of this name.')
    expect(view.faults).toEqual([])
    await view.open('teams/nobody')
    await view.shows('There is no team "nobody" here.')
    expect(await view.text()).not.toContain('Block the team')
    await view.open('explain?path=/v3/self&body=x')
    await view.shows('The body is not JSON.')
    await view.open('explain?path=/v3/self&claims=x')
    await view.shows('The claims are not JSON.')
    await view.open('explain?path=/v3/self&claims={"groups":["sso-payments-eng"],"iss":"https://other.test"}')
    await view.shows('/v3/self would be refused: issuer-unknown.')
    await view.open('explain?path=/v3/self&claims={"groups":["sso-payments-eng"]}')
    await view.shows('/v3/self would be allowed')
    await view.open('now')
    await view.page.setOfflineMode(true)
    await view.shows('The instance does not answer.')
    await view.shows('What is shown was read before that.')
    await view.page.setOfflineMode(false)
    await view.page.waitForFunction(
      `${readAgain}, !document.body.innerText.includes('The instance does not answer.')`,
      { polling: 100 },
    )
  })

  test('the report on keys says what to do, for all and for one, since when uses are watched, and that it is not known yet', async () => {
    await view.open('keys')
    await view.shows('holds what no right of any team needs from it')
    await view.shows('Uses are watched since')
    await view.shows('Not used since then: payments-impersonator, analytics.')
    const listed = async (): Promise<string> =>
      String(await view.page.evaluate("document.querySelector('section.one')?.innerText ?? ''"))
    expect(await listed()).toBe('')
    await view.open('keys?key=analytics')
    await view.shows('Permissions that a right needs')
    const detail = await listed()
    expect(detail).toContain('Take it from the role of the service user, and then from permissions.')
    expect(detail).not.toContain('Key "payments-runner"')
    const page = view.page
    await page.setRequestInterception(true)
    const answer = (request: HTTPRequest): void => {
      if (!request.url().endsWith('/api/keys/report')) return void request.continue()
      const [since, from] = ['2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z']
      const report = { state: 'deciding', revision: null, watched_since: since, unused_told_from: from }
      const body = JSON.stringify({ ...report, findings: [], keys: [] })
      void request.respond({ status: 200, contentType: 'application/json', body })
    }
    page.on('request', answer)
    await view.open('keys?key=analytics')
    await view.shows('Not known yet: what each key can do is being decided.')
    expect(await view.text()).not.toContain('The report says nothing about it.')
    page.off('request', answer)
    await page.setRequestInterception(false)
  })

  test('names that callers choose are shown as text', async () => {
    const name = '<img src=x onerror=alert(1)>'
    const long = 'long-'.repeat(36)
    await running.call(sessions, { claims: { sub: name } })
    await running.call(`/v3/organizations/${long}/sessions`, { claims: { sub: long } })
    await until(async () => {
      const found = (await (await get(`/api/decisions?subject=${encodeURIComponent(name)}`)).json()) as DecisionsView
      return found.decisions.length === 1
    }, 'the decision')
    await view.open(`decisions?subject=${encodeURIComponent(name)}`)
    await view.shows(name)
    expect(await view.page.evaluate("document.querySelectorAll('main img').length")).toBe(0)
    // The other columns stay in sight beside a long one.
    await view.look('light', 1280)
    await view.open('decisions')
    await view.shows(long)
    expect(
      await view.page.evaluate("((box) => box.scrollWidth - box.clientWidth)(document.querySelector('.scroll'))"),
    ).toBe(0)
  })
})
