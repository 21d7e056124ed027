// Changes of YAML texts in place: what is left is the same document without what was taken away, and real git applies the patch.

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { edited, unifiedPatch, YamlText } from '../../src/config/yaml/edit.ts'

const run = promisify(execFile)

interface Item {
  readonly id: string
  readonly allow: readonly string[]
}

const item = fc.record({
  id: fc.constantFrom('a', 'b', 'c'),
  words: fc.uniqueArray(fc.constantFrom('one', 'two', '"three # four"', "'five'", 'six.*'), {
    minLength: 1,
    maxLength: 4,
  }),
  form: fc.constantFrom('flow', 'block', 'mixed'),
  comment: fc.boolean(),
  trailing: fc.boolean(),
})

function textOf(
  items: readonly { id: string; words: readonly string[]; form: string; comment: boolean; trailing: boolean }[],
  hasEnd: boolean,
): string {
  const parts = items.map(({ id, words, form, comment, trailing }, index) => {
    const above = comment ? `  # about ${index}\n` : ''
    const behind = trailing ? '   # behind' : ''
    if (form === 'flow') return `${above}  - { id: ${id}${index}, allow: [${words.join(', ')}] }${behind}\n`
    const list =
      form === 'block'
        ? `\n${words.map((word) => `      - ${word}${behind}\n`).join('')}`
        : ` [${words.join(', ')}]${behind}\n`
    return `${above}  - id: ${id}${index}\n    allow:${list}`
  })
  const text = `# head\nname: x\nlist:\n${parts.join('')}last: [ 1, 2 ]   # end\n`
  return hasEnd ? text : text.slice(0, -1)
}

test('lists lose items and gain others, comments stay, and git applies the patch', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'yaml-edit-'))
  await run('git', ['init', '-q', folder])
  await fc.assert(
    fc.asyncProperty(
      fc.array(item, { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat(),
      fc.boolean(),
      fc.boolean(),
      async (items, which, words, adds, hasEnd) => {
        const text = textOf(items, hasEnd)
        const before = parse(text) as { list: Item[]; last: number[] }
        const yaml = new YamlText(text)
        const kept = before.list.map((_, index) => (which & (1 << index)) === 0)
        const added = adds ? ['new.word'] : []
        const edits = [
          ...yaml.changeList(['list'], (index) => kept[index] === true),
          ...before.list.flatMap((_, index) =>
            kept[index] === true
              ? yaml.changeList(['list', index, 'allow'], (at) => (words & (1 << at)) === 0, added)
              : [],
          ),
        ]
        const after = edited(text, edits)
        expect(parse(after)).toEqual({
          ...before,
          list: before.list.flatMap(({ id, allow }, index) =>
            kept[index] === true
              ? [{ id, allow: [...allow.filter((_word, at) => (words & (1 << at)) === 0), ...added] }]
              : [],
          ),
        })
        for (const comment of kept.includes(true) ? (text.match(/^ *# .*$/gm) ?? []) : [])
          expect(after).toContain(comment)
        const patch = unifiedPatch('file.yaml', text, edits)
        expect(patch === '').toBe(after === text)
        if (patch === '') return
        await writeFile(join(folder, 'file.yaml'), text)
        await writeFile(join(folder, 'patch'), patch)
        await run('git', ['-C', folder, 'apply', 'patch'])
        expect(await readFile(join(folder, 'file.yaml'), 'utf8')).toBe(after)
      },
    ),
    { numRuns: 60 },
  )
  await rm(folder, { recursive: true, force: true })
})

test('members and values are put where they belong', () => {
  const text = 'organizations: all # wide\ngrants:\n  - id: a\n    allow: [x] # y\n  - { id: b, allow: [z] }\n'
  const yaml = new YamlText(text)
  const edits = [
    ...yaml.replaceValue(['organizations'], '[o]'),
    ...yaml.addMember(['grants', 0], 'allow', 'organizations', '[o]'),
    ...yaml.addMember(['grants', 1], 'allow', 'organizations', '[p]'),
  ]
  expect(edited(text, edits)).toBe(
    'organizations: [o] # wide\ngrants:\n  - id: a\n    allow: [x] # y\n    organizations: [o]\n  - { id: b, allow: [z], organizations: [p] }\n',
  )
})

test('a file keeps its line breaks, and a last line without one does not run into the next', () => {
  const text = 'grants:\r\n  - id: a\r\n    allow:\r\n      - x\r\n      - y'
  const yaml = new YamlText(text)
  expect(
    edited(
      text,
      yaml.changeList(['grants', 0, 'allow'], (index) => index === 1, ['z']),
    ),
  ).toBe('grants:\r\n  - id: a\r\n    allow:\r\n      - y\r\n      - z\r\n')
  expect(edited(text, yaml.addMember(['grants', 0], 'allow', 'organizations', '[o]'))).toBe(
    `${text}\r\n    organizations: [o]\r\n`,
  )
})

test('a name with spaces ends with a tab in a patch, as programs that apply it expect', () => {
  const patch = unifiedPatch('teams/the others.yaml', 'a: 1\n', [{ start: 3, end: 4, text: '2' }])
  expect(patch.split('\n').slice(0, 2)).toEqual(['--- a/teams/the others.yaml\t', '+++ b/teams/the others.yaml\t'])
})
