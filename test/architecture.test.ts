// The import table: reads every import of the sources and says in words what breaks it. Arrows point inwards; the core
// does not know that there is HTTP, libraries stay in their corner, and a key's value is opened in one place.

import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { corners, mayImport, type Allowed } from './support/import-table.ts'
import { importsOf, readSources, sourceRoot, targetOf, type Import } from './support/sources.ts'

function partOf(name: string): string {
  return name.split('/')[0] ?? name
}

function isBelow(name: string, place: string): boolean {
  return name === place || name.startsWith(`${place}/`)
}

function permits(allowed: Allowed, name: string, typesOnly: boolean): boolean {
  return allowed.some((entry) => {
    const place = entry.replace(/^types of /, '')
    return isBelow(name, place) && (typesOnly || place === entry)
  })
}

/** The complaint about one import, or null when it is fine. */
function complaintAbout(each: Import): string | null {
  const { from, specifier, typesOnly } = each
  const how = typesOnly ? 'imports types of' : 'imports'
  if (specifier.startsWith('node:')) return null
  if (!specifier.startsWith('.')) {
    if (builtinModules.includes(specifier)) return `${from} imports ${specifier}: write node:${specifier}`
    const library = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/')
    const corner = corners[library]
    if (corner === undefined) return `${from} imports ${library}, which the table of libraries does not know`
    return permits(corner, from, typesOnly) ? null : `${from} ${how} ${library}, which belongs in ${corner.join(', ')}`
  }
  if (specifier.endsWith('.json'))
    return specifier.startsWith('./') ? null : `${from} imports ${specifier} of another part`
  const target = targetOf(each)
  if (target === null) return `${from} imports ${specifier} without its extension`
  if (target.startsWith('..')) return `${from} imports ${specifier}, outside src/`
  const part = partOf(from)
  if (partOf(target) === part) return null
  const allowed = mayImport[part]
  if (allowed === undefined) return `${from} is in a part that the import table does not know`
  if (permits(allowed, target, typesOnly)) return null
  return `${from} ${how} ${target}: ${part} may import ${allowed.length === 0 ? 'nothing of ours' : allowed.join(', ')}`
}

const sources = readSources()
const imports = sources.flatMap(importsOf)

describe('the sources', () => {
  test('are found and their imports are understood', () => {
    expect(sources.length).toBeGreaterThan(80)
    // Whatever looks like an import must have been read as one: a form this test does not know would hide an arrow.
    for (const source of sources) {
      const looks = source.code.match(/^\s*(?:import|export)\b[^;=(]*?\sfrom\s+'|^\s*import\s+'/gm) ?? []
      expect(importsOf(source).length, source.name).toBeGreaterThanOrEqual(looks.length)
      expect(
        /^\s*(?:import|export)\b[^'\n]*\sfrom\s*["`]|\b(?:import|require)\(\s*["`]/m.test(source.code),
        source.name,
      ).toBe(false)
    }
    expect(imports.length).toBeGreaterThan(400)
  })

  test('import each other as the table allows', () => {
    expect(imports.map(complaintAbout).filter((complaint) => complaint !== null)).toEqual([])
  })

  test('are all in a part of the table, and every part of the table exists', () => {
    const parts = new Set(sources.map(({ name }) => partOf(name)))
    expect([...parts].sort()).toEqual(Object.keys(mayImport).sort())
  })

  test('keep every library that the package depends on, and no other', () => {
    const manifest: unknown = JSON.parse(readFileSync(join(sourceRoot, '..', 'package.json'), 'utf8'))
    expect(manifest).toHaveProperty('dependencies')
    const dependencies = ['dependencies', 'peerDependencies'].flatMap((kind) =>
      Object.keys(Object(Reflect.get(Object(manifest), kind))),
    )
    expect(Object.keys(corners).sort()).toEqual(dependencies.sort())
  })
})

describe('the table', () => {
  test('points inwards: no part can reach itself through others', () => {
    const reaches = (part: string, goal: string, seen: ReadonlySet<string> = new Set()): boolean =>
      (mayImport[part] ?? []).some((entry) => {
        const next = partOf(entry.replace(/^types of /, ''))
        return next === goal || (!seen.has(next) && reaches(next, goal, new Set([...seen, next])))
      })
    expect(Object.keys(mayImport).filter((part) => reaches(part, part))).toEqual([])
  })

  test.each<[Import, string | null]>([
    [{ from: 'policy/decision/decide', specifier: '../../problems.ts', typesOnly: true }, null],
    [{ from: 'policy/decision/decide', specifier: '../model/condition.ts', typesOnly: false }, null],
    [{ from: 'policy/decision/decide', specifier: 'node:fs', typesOnly: false }, null],
    [
      { from: 'policy/decision/decide', specifier: 'fs', typesOnly: false },
      'policy/decision/decide imports fs: write node:fs',
    ],
    [
      { from: 'catalogue/catalogue', specifier: '../policy/compile/allow.ts', typesOnly: true },
      'catalogue/catalogue imports types of policy/compile/allow: catalogue may import problems, config, json/untyped',
    ],
    [
      { from: 'records/sinks', specifier: '../gateway/context.ts', typesOnly: true },
      `records/sinks imports types of gateway/context: records may import ${mayImport['records']?.join(', ')}`,
    ],
    [
      { from: 'policy/compile/compile', specifier: '../../identity/token-verifier.ts', typesOnly: false },
      `policy/compile/compile imports identity/token-verifier: policy may import ${mayImport['policy']?.join(', ')}`,
    ],
    [
      { from: 'admin/app', specifier: '../gateway/admission.ts', typesOnly: true },
      `admin/app imports types of gateway/admission: admin may import ${mayImport['admin']?.join(', ')}`,
    ],
    [
      { from: 'policy/decision/decide', specifier: 'fastify', typesOnly: true },
      'policy/decision/decide imports types of fastify, which belongs in gateway, admin, sandbox',
    ],
    [
      { from: 'gateway/admission', specifier: '@fastify/http-proxy', typesOnly: false },
      'gateway/admission imports @fastify/http-proxy, which belongs in gateway/app',
    ],
    [
      { from: 'gateway/app', specifier: 'undici', typesOnly: false },
      'gateway/app imports undici, which belongs in gateway/upstream, types of gateway, identity/signing-keys/json-fetch, keys/sources/vault/vault-client, identity/sign-in, cli/operators',
    ],
    [{ from: 'gateway/app', specifier: 'undici', typesOnly: true }, null],
    [
      { from: 'gateway/app', specifier: 'left-pad', typesOnly: false },
      'gateway/app imports left-pad, which the table of libraries does not know',
    ],
    [
      { from: 'gateway/app', specifier: '../../test/support/issuer.ts', typesOnly: false },
      'gateway/app imports ../../test/support/issuer.ts, outside src/',
    ],
    [
      { from: 'gateway/app', specifier: './admission', typesOnly: false },
      'gateway/app imports ./admission without its extension',
    ],
    [
      { from: 'utils/strings', specifier: '../problems.ts', typesOnly: false },
      'utils/strings is in a part that the import table does not know',
    ],
  ])('is broken in words: %j', (example, complaint) => {
    expect(complaintAbout(example)).toBe(complaint)
  })
})

describe('what happens in one place only', () => {
  /** Names of the sources whose code matches. */
  function sourcesWith(pattern: RegExp): string[] {
    return sources.filter(({ code }) => pattern.test(code)).map(({ name }) => name)
  }

  test("a key's value is opened where the request is sent, and where a rotation writes it to its source", () => {
    expect(sourcesWith(/\.\s*reveal\b|\['reveal'\]/)).toEqual([
      'gateway/upstream/upstream-request',
      'keys/rotation/steps/place',
    ])
  })

  test('the environment is read by the process entry and handed on', () => {
    for (const name of sourcesWith(/\bprocess\s*\.\s*env\b|\bprocess\['env'\]|\{\s*env\b[^}]*\}\s*=\s*process\b/)) {
      expect(['main', 'cli', 'config'], name).toContain(partOf(name))
    }
  })

  test('certificates are verified: nothing switches that off', () => {
    expect(
      sourcesWith(/rejectUnauthorized\b(?!\s*:\s*true\b)|NODE_TLS_REJECT_UNAUTHORIZED|checkServerIdentity/),
      // The first tells whoever has set the variable that it changes nothing. The second judges certificates by itself, and sends
      // nothing secret where one is not trusted (test/doctor/doctor.test.ts).
    ).toEqual(['doctor/machine/surroundings', 'doctor/network/probe'])
  })

  test('no text becomes code', () => {
    expect(sourcesWith(/\beval\s*\(|\bnew\s+Function\b|from 'node:vm'/)).toEqual([])
    // `git`, by an argument list, for a command that a person types; and programs that print keys. Never a shell.
    expect(sourcesWith(/from 'node:child_process'/)).toEqual([
      'cli/policy-source',
      'cli/version',
      'keys/sources/exec-source',
    ])
    expect(sourcesWith(/\bshell:/)).toEqual([])
  })

  test('there are no default exports, no catch-all files, and no imports by computed names', () => {
    expect(sourcesWith(/^\s*export\s+default\b/m)).toEqual([])
    expect(
      sources.map(({ name }) => name).filter((name) => /(^|\/)(utils?|common|helpers?|misc|index)($|\/)/.test(name)),
    ).toEqual([])
    expect(sourcesWith(/\bimport\(\s*[^')\s]/)).toEqual([])
  })
})
