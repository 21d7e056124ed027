// Every command in the documentation: its blocks of `console` are run as they stand, and what they print is compared with the page.
//
// `devin-gateway` runs in this process, everything else in a shell. One sandbox answers the requests of all pages. Comments in the
// pages, which readers do not see, say the rest:
//   <!-- test: skip REASON -->     the block below is not run here
//   <!-- test: numbers vary -->    numbers of the block below are not compared
//   <!-- test: save -->            the YAML block below is saved under the name in its first line, for the commands of its page
//   <!-- test: remove PATTERN… --> samples that the commands of this page do without
// In a page, `…` stands for any text, and on a line of its own for any lines. White space is not compared, so a page may break lines.

import { execFile } from 'node:child_process'
import { cp, glob, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callCommand, startCommand, type RunningCommand } from '../support/command.ts'
import { until } from '../support/start-gateway.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Block {
  readonly kind: string
  readonly text: string
  /** What the comment above the block says; null: nothing. */
  readonly mark: string | null
}

interface Page {
  readonly name: string
  readonly text: string
  readonly blocks: readonly Block[]
  readonly removed: readonly string[]
}

interface Step {
  readonly command: string
  /** What the page says that it prints; empty: nothing is said. */
  readonly printed: string
}

const pages = await Promise.all((await pageNames()).map(readPage))

async function pageNames(): Promise<string[]> {
  const docs = (await readdir(join(root, 'docs'), { recursive: true })).filter((name) => name.endsWith('.md')).sort()
  const others = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md']
  const inFolders = ['config', 'deploy', 'examples', 'policies'].map((folder) => `${folder}/README.md`)
  return [...others, ...inFolders, ...docs.map((name) => `docs/${name}`)]
}

async function readPage(name: string): Promise<Page> {
  const text = await readFile(join(root, name), 'utf8')
  const fences = /(?:<!-- test: (?<mark>[^>]*?) -->\n+)?^```(?<kind>\w+)\n(?<text>[\s\S]*?)^```$/gm
  return {
    name,
    text,
    blocks: [...text.matchAll(fences)].map(({ groups }) => ({
      kind: groups?.['kind'] ?? '',
      text: groups?.['text'] ?? '',
      mark: groups?.['mark'] ?? null,
    })),
    removed: [...text.matchAll(/<!-- test: remove (?<patterns>[^>]*?) -->/g)].flatMap(
      ({ groups }) => groups?.['patterns']?.split(' ') ?? [],
    ),
  }
}

/** The commands of a block, each with the lines below it. */
function stepsOf({ text }: Block): Step[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const command = /^(?:.*\\\n)*.*/.exec(part)?.[0] ?? ''
      return { command: command.replace(/\s+# .*$/, ''), printed: part.slice(command.length).trim() }
    })
}

const skips = (block: Block): boolean => block.mark?.startsWith('skip ') === true
const isRun = (block: Block): boolean => block.kind === 'console' && !skips(block)

let sandbox: RunningCommand
let state: string
const ports = { callers: '', operators: '' }
beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'gateway-docs-'))
  sandbox = startCommand(['sandbox', '--port', '0', '--admin-port', '0'], {
    cwd: root,
    env: { GATEWAY_SANDBOX_STATE: state },
  })
  await until(() => sandbox.out.includes('Ctrl-C') || sandbox.child.exitCode !== null, 'the banner')
  const portOf = (what: string): string => new RegExp(`${what} +http://[\\d.]+:(\\d+)`).exec(sandbox.out)?.[1] ?? ''
  ports.callers = portOf('callers')
  ports.operators = portOf('operators')
})
afterAll(async () => {
  await sandbox.kill()
  await rm(state, { recursive: true, force: true })
})

/** Where the commands of a page run: the checkout, or a copy of its samples with the files of the page. */
async function folderFor(page: Page): Promise<string> {
  const saved = page.blocks.filter(({ mark }) => mark === 'save')
  if (saved.length === 0 && page.removed.length === 0) return root
  const folder = await mkdtemp(join(state, 'page-'))
  for (const name of ['config', 'policies', 'examples'])
    await cp(join(root, name), join(folder, name), { recursive: true })
  for await (const name of glob([...page.removed], { cwd: folder })) await rm(join(folder, name))
  for (const { text } of saved) {
    const name = /^# (?<name>[\w./-]+)/.exec(text)?.groups?.['name'] ?? ''
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return folder
}

/** What `suggest` has said of the samples of the checkout: it reads a large log, and pages show the same command. */
const suggested = new Map<string, string>()

/** Runs the steps of one page, which set variables for each other. */
class Shell {
  readonly #folder: string
  readonly #variables: Record<string, string> = {}

  constructor(folder: string) {
    this.#folder = folder
  }

  async run(command: string): Promise<string> {
    const text = command
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${ports.callers}`)
      .replaceAll('127.0.0.1:9090', `127.0.0.1:${ports.operators}`)
      // The gateway of the pages for application developers.
      .replaceAll('https://devin-gateway.corp.example', `http://127.0.0.1:${ports.callers}`)
    const assignment = /^(?:export )?(?<name>\w+)=\$\((?<command>.*)\)$/.exec(text)?.groups
    if (assignment !== undefined) {
      this.#variables[assignment['name'] ?? ''] = (await this.#runPart(assignment['command'] ?? '')).trim()
      return ''
    }
    return this.#runPart(text)
  }

  async #runPart(command: string): Promise<string> {
    const words = /^(?:npx )?devin-gateway (?<words>.*)$/s.exec(command)?.groups?.['words']
    if (words !== undefined) {
      const known = this.#folder === root ? suggested.get(words) : undefined
      const printed = known ?? (await this.#callGateway(wordsOf(words, this.#variables)))
      if (this.#folder === root && words.startsWith('suggest --log examples/')) suggested.set(words, printed)
      return printed
    }
    const { PATH = '' } = process.env
    const { stdout } = await promisify(execFile)('sh', ['-c', command.replaceAll('curl ', 'curl -sS ')], {
      cwd: this.#folder,
      env: { PATH, ...this.#variables },
    })
    return stdout
  }

  async #callGateway(args: readonly string[]): Promise<string> {
    const before = process.cwd()
    process.chdir(this.#folder)
    try {
      const { code, out, err } = await callCommand(args, { GATEWAY_SANDBOX_STATE: state })
      // 1 is a refusal, which a page may show; 2 is a command that does not exist as it is written.
      expect(code, err).toBeLessThan(2)
      return out === '' ? err : out
    } finally {
      process.chdir(before)
    }
  }
}

/** Parts a line as a shell does that knows quotes and variables. */
function wordsOf(line: string, variables: Readonly<Record<string, string>>): string[] {
  const words = line.replaceAll('\\\n', ' ').matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)
  return [...words].map(([word]) =>
    word.replaceAll(/'([^']*)'|"([^"]*)"|\$(\w+)/g, (_whole, single?: string, double?: string, name?: string) =>
      name === undefined ? (single ?? double ?? '') : (variables[name] ?? ''),
    ),
  )
}

const volatile: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, 'UUID'],
  [/\b(devin|ps)-[0-9a-f]{32}\b/g, '$1-ID'],
  [/\brevision [0-9a-f]{12}\b/g, 'revision REVISION'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z/g, 'INSTANT'],
  [/^(date|etag|content-length|ratelimit|age|keep-alive): .*$/gim, '$1: VALUE'],
  [/\bttl=\d+/g, 'ttl=N'],
  [/, by then about [\d.]+ at this pace/g, ''],
]

/** Without what differs from run to run, and without white space. */
function comparable(text: string, mark: string | null): string {
  let rest = text
  for (const [pattern, by] of volatile) rest = rest.replaceAll(pattern, by)
  if (mark === 'numbers vary') rest = rest.replaceAll(/\d+(?:\.\d+)?/g, 'N')
  return rest.replaceAll(/\s/g, '')
}

function fits(printed: string, expected: string): boolean {
  const parts = expected.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  return new RegExp(`^${parts.join('.*')}$`, 'su').test(printed)
}

describe.each(pages.filter(({ blocks }) => blocks.some(isRun)))('$name', (page) => {
  let shell: Shell
  beforeAll(async () => {
    shell = new Shell(await folderFor(page))
  })
  const steps = page.blocks
    .filter(isRun)
    .flatMap((block) =>
      stepsOf(block).map((step) => ({ ...step, mark: block.mark, title: step.command.slice(0, 160) })),
    )
  test.each(steps)('$title', async ({ command, printed, mark }) => {
    const out = await shell.run(command)
    if (printed === '') return
    const [actual, expected] = [comparable(out, mark), comparable(printed, mark)]
    if (!fits(actual, expected)) expect(actual, `${page.name} says otherwise; it prints\n${out}`).toBe(expected)
  })
})

test('the sandbox prints the requests that the README shows', () => {
  const plain = (text: string): string => text.replaceAll(/[\s"\\]/g, '')
  const banner = plain(sandbox.out)
  const requests = (pages.find(({ name }) => name === 'README.md')?.blocks ?? [])
    .filter(isRun)
    .flatMap(stepsOf)
    .map(({ command }) => command.replace('127.0.0.1:8080', `127.0.0.1:${ports.callers}`))
    .filter((command) => /^(?:curl|npx devin-gateway explain)/.test(command))
  expect(requests.length).toBeGreaterThan(6)
  expect(requests.filter((command) => !banner.includes(plain(command)))).toEqual([])
})

test('every block of commands has commands, and what is not run says why', () => {
  const blocks = pages.flatMap(({ name, blocks: all }) => all.map((block) => ({ name, ...block })))
  const consoles = blocks.filter(({ kind }) => kind === 'console')
  expect(consoles.filter((block) => !skips(block) && stepsOf(block).length === 0)).toEqual([])
  expect(consoles.filter(skips).filter(({ mark }) => (mark ?? '').split(' ').length < 4)).toEqual([])
  expect(consoles.filter(skips).length).toBeLessThan(consoles.filter(isRun).length / 2)
  // Commands in a block of another kind would not be found.
  expect(blocks.filter(({ kind, text }) => kind !== 'console' && /^\$ /m.test(text))).toEqual([])
  expect(blocks.filter(({ kind }) => kind === 'sh' || kind === 'bash')).toEqual([])
})

describe('what a sentence or a block that is not run names', () => {
  /** Commands between backticks, and those of blocks. */
  const named = pages.flatMap(({ name, text }) =>
    [...text.matchAll(/(?:`|^[$#] )(?<command>(?:npx |\S*\/bin\/)?devin-gateway [a-z][^`\n]*|npm run [^`\n]*)/gm)].map(
      ({ groups }) => [groups?.['command'] ?? '', name] as const,
    ),
  )
  const helpOf = (words: readonly string[]): Promise<string> => callCommand(words).then(({ out, err }) => out + err)

  test('commands of the gateway exist, with their options', async () => {
    const overview = await helpOf(['--help'])
    const helps = new Map<string, string>()
    const wrong: string[] = []
    for (const [command, page] of named) {
      const [name = '', ...words] = command.replace(/^.*?devin-gateway /, '').split(/[\s=]+/)
      if (command.startsWith('npm ') || name === 'help') continue
      if (!overview.includes(`\n  ${name} `)) wrong.push(`${page}: ${command}`)
      else if (!helps.has(name)) helps.set(name, await helpOf([name, '--help']))
      const options = words.map((word) => /^\[?(?<option>--[a-z-]+)/.exec(word)?.groups?.['option']).filter(Boolean)
      for (const option of options)
        if (option !== '--help' && helps.get(name)?.includes(`  ${option} `) === false)
          wrong.push(`${page}: ${command}`)
    }
    expect(named.length).toBeGreaterThan(60)
    expect(wrong).toEqual([])
  })

  test('scripts of the package exist', async () => {
    // The package of this checkout.
    const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object }
    const scriptOf = (command: string): string =>
      /^npm run (?:-s )?(?<name>[\w:-]+)/.exec(command)?.groups?.['name'] ?? ''
    expect(named.filter(([command]) => command.startsWith('npm run ') && !(scriptOf(command) in scripts))).toEqual([])
  })
})
