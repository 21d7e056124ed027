// The pictures of docs/console.md: every view, light and wide, and dark and narrow, of the sandbox company at work.
// `node tools/console/pictures.ts [MINUTES] [FOLDER]`, by default five minutes, so that the plots have something to show. Pictures show
// the name of the folder, which must not exist yet and is removed afterwards; by default it is `devin-gateway` among temporary files.

import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch } from 'puppeteer-core'
import { startCompany } from './company.ts'

const folder = join(import.meta.dirname, '../../docs/pictures/console')
const endsAtMs = Date.now() + Number(process.argv[2] ?? 5) * 60_000
/** What is below is cut off: the pictures show what a screen shows. */
const heights = { 1280: 1000, 390: 844 } as const
/** All four pairs of the first view; one of each width and theme of the others. */
const pairs = { light: [1280], dark: [390] } as const

const company = await startCompany(process.argv[3] ?? join(tmpdir(), 'devin-gateway'))
for (let round = 0; Date.now() < endsAtMs; round += 1) {
  await company.work(round)
  // More and less, as the day goes.
  await new Promise((resolve) => setTimeout(resolve, 700 + 500 * Math.sin(round / 30)))
}

// The report is begun when somebody first asks for it, and takes a moment.
const report = async (): Promise<{ readonly state: string }> =>
  (await (await fetch(`${company.adminUrl}/api/keys/report`)).json()) as { readonly state: string }
while ((await report()).state !== 'known') await new Promise((resolve) => setTimeout(resolve, 500))

interface Found {
  readonly decisions: readonly { readonly decision_id: string }[]
}
const found = (await (await fetch(`${company.adminUrl}/api/decisions?reason=not-granted&limit=1`)).json()) as Found
const asked = new URLSearchParams({
  method: 'POST',
  path: '/v3/organizations/org-payments/sessions',
  team: 'payments',
  body: '{"prompt":"Fix the build","max_acu_limit":99}',
})
const views = {
  now: 'now',
  decisions: 'decisions',
  decision: `decisions/${found.decisions[0]?.decision_id ?? ''}`,
  teams: 'teams',
  team: 'teams/payments',
  policies: 'policies',
  keys: 'keys',
  cache: 'cache',
  audit: 'audit',
  blocks: 'blocks',
  explain: `explain?${asked.toString()}`,
}

await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
const browser = await launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
const page = await browser.newPage()
for (const [name, path] of Object.entries(views))
  for (const theme of ['light', 'dark'] as const)
    for (const width of name === 'now' ? ([1280, 390] as const) : pairs[theme]) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }])
      await page.setViewport({ width, height: heights[width] })
      await page.goto(`${company.adminUrl}/console/${path}`, { waitUntil: 'networkidle2' })
      await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.webp`), type: 'webp', quality: 50 })
    }
await browser.close()
await company.close()
