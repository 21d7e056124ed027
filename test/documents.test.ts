// What documents say of files and tests: the map of src/README.md names every file in its folder, and the promises of the threat
// model name tests that exist.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8')

const map = textOf('src/README.md')
const tree = map.slice(map.indexOf('```\nsrc/'), map.indexOf('## Who may import whom'))
const files = globSync('src/**/*.{ts,json}', { cwd: root })

/** The files that the tree names, each below its folder. */
function namedFiles(): string[] {
  let folder = ''
  return tree.split('\n').flatMap((line) => {
    const head = /^(src\/\S*)(.*)$/.exec(line)
    if (head !== null) folder = head[1] ?? ''
    return [...(head?.[2] ?? line).matchAll(/[\w-]+\.(?:d\.ts|ts|json)\b/g)].map(([name]) => join(folder, name))
  })
}

test('the tree of the map names every file of src/ once, in its folder, and no other', () => {
  expect(namedFiles().toSorted()).toEqual(files.toSorted())
})

test('what the map says elsewhere is about files that exist', () => {
  const named = [...map.replace(tree, '').matchAll(/`([\w./-]+\.(?:ts|json))`/g)].map(([, name]) => name ?? '')
  const isThere = (name: string): boolean =>
    name.startsWith('test/') || name.startsWith('tools/')
      ? existsSync(join(root, name))
      : files.some((file) => file.endsWith(`/${name}`))
  expect(named.filter((name) => !isThere(name))).toEqual([])
})

test('each promise of the threat model names tests that exist', () => {
  const promises = textOf('docs/threat-model.md')
  const absent: string[] = []
  for (const [, file = '', names = ''] of promises.matchAll(/^- `(test\/[^`]+)`:?(.*(?:\n {2}.*)*)/gm)) {
    const source = existsSync(join(root, file)) ? textOf(file).replaceAll("\\'", "'") : ''
    if (source === '') absent.push(file)
    for (const [, name = ''] of names.matchAll(/“([^”]+)”/g))
      if (!source.includes(name)) absent.push(`${basename(dirname(file))}/${basename(file)}: ${name}`)
  }
  expect(absent).toEqual([])
})

test('every name in the tables of the map stands in the sources', () => {
  const tables = map.slice(map.indexOf('## Where is it answered?'), map.indexOf('## The tree'))
  const words = new Set(files.flatMap((file) => textOf(file).match(/#?\w+/g) ?? []))
  const named = [...tables.matchAll(/`([^`]+)`/g)]
    .map(([, code]) => code ?? '')
    .filter((code) => !/\.(?:ts|json|md|yaml)$|\/|\*|npm /.test(code))
    .flatMap((code) => code.match(/#?[A-Za-z_]\w+/g) ?? [])
  expect(named.filter((name) => !words.has(name) && !words.has(`#${name}`))).toEqual([])
})
