// The console behind a login, in a real browser: to the issuer and back, what a role sees, and the end of a session.

import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { describeWithChromium, startBrowser, type Browsing, type ConsolePageInBrowser } from '../support/browser.ts'
import { clientSecret, startSignInProvider, type SignInProvider } from '../support/sign-in-provider.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

describeWithChromium('behind a login', () => {
  let provider: SignInProvider
  let running: RunningGateway
  let browsing: Browsing
  let view: ConsolePageInBrowser
  beforeAll(async () => {
    // It warns about its memory store and its own pages at every start; both are what a test wants.
    const silenced = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'info')].map((spy) => spy.mockReturnValue())
    provider = await startSignInProvider()
    provider.groups['vera'] = ['sso-eng']
    running = await startTestGateway({
      env: { CONSOLE_SECRET: clientSecret },
      config: `admin:
  auth:
    issuer: ${provider.issuer}
    client_id: console
    client_secret: { env: CONSOLE_SECRET }
    roles: { viewer: { groups: [sso-eng] }, operator: { groups: [sso-platform] }, key_officer: { groups: [sso-security] } }
`,
    })
    provider.open(`${running.adminUrl}/api/session/callback`)
    browsing = await startBrowser()
    view = await browsing.console(running.adminUrl)
    return () => silenced.forEach((spy) => spy.mockRestore())
  }, 60_000)
  afterAll(async () => {
    await browsing.close()
    await running.close()
    await provider.close()
  })

  test('a link leads to the issuer and back to what it names, and a viewer sees no changes', async () => {
    const { page } = view
    await page.goto(`${running.adminUrl}/console/keys?key=payments-runner`)
    expect(new URL(page.url()).origin).toBe(provider.issuer)
    await page.type('input[name=login]', 'vera')
    await page.type('input[name=password]', 'any')
    await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')])
    await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')])
    await view.shows('vera@corp.example (viewer)')
    await view.shows('Never used since the start')
    expect(page.url()).toBe(`${running.adminUrl}/console/keys?key=payments-runner`)
    expect(await page.evaluate("document.querySelectorAll('main dialog').length")).toBe(0)
  })

  test('when the session has ended, the page says so and leads to the sign-in, and keeps what it showed', async () => {
    const { page } = view
    await page.deleteCookie(...(await page.cookies()))
    await view.shows('Your session has ended. What is shown was read before that.')
    const links = await page.evaluate("[...document.querySelectorAll('a')].map(({ href }) => href)")
    expect(links).toContain(
      `${running.adminUrl}/api/session/sign-in?return_to=${encodeURIComponent('/console/keys?key=payments-runner')}`,
    )
  })
})
