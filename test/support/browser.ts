// Chromium over its DevTools protocol, for tests of the console: pages that tell what they refused, asked for and got wrong.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { launch, type Page } from 'puppeteer-core'
import { describe } from 'vitest'

const binary = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync) ?? null

/** `describe` where Chromium is installed. Where it must be (`GATEWAY_TEST_CHROMIUM=required`), its absence is a failure. */
export const describeWithChromium: typeof describe | typeof describe.skip = decide()

function decide(): typeof describe | typeof describe.skip {
  if (binary !== null) return describe
  if (process.env['GATEWAY_TEST_CHROMIUM'] === 'required') throw new Error('chromium is not installed')
  process.stderr.write('skipped: tests of the console need chromium, and it is not installed\n')
  return describe.skip
}

/** As when somebody comes back to the page: it reads again what it shows, without waiting for its next turn. */
export const readAgain = "document.dispatchEvent(new Event('visibilitychange'))"

export type Theme = 'light' | 'dark'

export interface ConsolePageInBrowser {
  readonly page: Page
  /** What went wrong since the start: errors of scripts, messages of the browser, resources of other sites. */
  readonly faults: readonly string[]
  /** Opens a path below /console/, and waits until nothing is being read any more. */
  open(path: string): Promise<void>
  /** Waits until the page holds this text. */
  shows(text: string): Promise<void>
  text(): Promise<string>
  /** Has the page read again what it shows, as when somebody comes back to it. */
  readAgain(): Promise<void>
  look(theme: Theme, width: number): Promise<void>
  /** Findings of axe, WCAG 2.2 A and AA and its best practices, one line each. */
  findings(): Promise<readonly string[]>
}

export interface Browsing {
  /** A page of its own, for the console at this listener. */
  console(adminUrl: string): Promise<ConsolePageInBrowser>
  close(): Promise<void>
}

export async function startBrowser(): Promise<Browsing> {
  // Root, as in CI, has no sandbox of Chromium.
  const browser = await launch({ executablePath: binary ?? 'chromium', headless: true, args: ['--no-sandbox'] })
  return {
    console: async (adminUrl) => consoleIn(await browser.newPage(), adminUrl),
    close: () => browser.close(),
  }
}

function consoleIn(page: Page, adminUrl: string): ConsolePageInBrowser {
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') faults.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(`${adminUrl}/`) && !request.url().startsWith('data:')) faults.push(request.url())
  })
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const settled = (): Promise<unknown> =>
    page.waitForFunction("document.querySelector('h1') !== null && document.querySelector('.loading') === null")
  return {
    page,
    faults,
    async open(path) {
      await page.goto(`${adminUrl}/console/${path}`, { waitUntil: 'load' })
      await settled()
    },
    async shows(text) {
      await page.waitForFunction(`${readAgain}, document.body.innerText.includes(${JSON.stringify(text)})`, {
        polling: 100,
      })
    },
    text: async () => String(await page.evaluate('document.body.innerText')),
    async readAgain() {
      await page.evaluate(readAgain)
    },
    async look(theme, width) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }])
      await page.setViewport({ width, height: 900 })
    },
    async findings() {
      await page.evaluate(`window.axe === undefined && (() => { ${axe} })()`)
      const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
      const found = await page.evaluate(
        `axe.run(document, { runOnly: ${JSON.stringify(tags)} }).then(({ violations }) =>
            violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html.slice(0, 200))))`,
      )
      return found as readonly string[]
    },
  }
}
