// What keeps the tree readable: no circles, no name for two things, small folders, and comments that stay true.

import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { importsOf, readSources, targetOf, testRoot } from './support/sources.ts'

const sources = readSources()
const production = sources.filter(({ name }) => !name.startsWith('sandbox/'))

/** Every group of sources that reach each other through imports, types included; Tarjan's strongly connected components. */
function circles(): readonly (readonly string[])[] {
  const targets = new Map(
    sources.map((source) => [
      source.name,
      importsOf(source).flatMap((each) => {
        const target = targetOf(each)
        return target === null ? [] : [target]
      }),
    ]),
  )
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (name: string): void => {
    order.set(name, order.size)
    lowest.set(name, order.size - 1)
    stack.push(name)
    for (const next of targets.get(name) ?? []) {
      if (!order.has(next)) visit(next)
      if (stack.includes(next)) lowest.set(name, Math.min(lowest.get(name) ?? 0, lowest.get(next) ?? 0))
    }
    if (lowest.get(name) !== order.get(name)) return
    const group = stack.splice(stack.indexOf(name))
    if (group.length > 1) found.push(group.sort())
  }
  for (const { name } of sources) if (!order.has(name)) visit(name)
  return found
}

/** Names that a source exports by declaring them, values and types. */
function exportsOf(code: string): readonly string[] {
  return [
    ...code.matchAll(
      /^export\s+(?:abstract\s+)?(?:async\s+)?(?:interface|type|class|function\*?|const|let)\s+(?<name>\w+)/gm,
    ),
  ].map(({ groups }) => groups?.['name'] ?? '')
}

/** The comment lines of a source, with their position. */
function commentsOf({ name, text }: { name: string; text: string }): readonly { at: string; comment: string }[] {
  return text.split('\n').flatMap((line, index) => {
    const comment =
      /^\s*(?:\/\/|\/\*\*?|\*)\s?(?<text>.*)$/.exec(line)?.groups?.['text'] ?? /\s\/\/\s(.*)$/.exec(line)?.[1]
    return comment === undefined ? [] : [{ at: `${name}:${index + 1}`, comment }]
  })
}

describe('the tree', () => {
  test('has no circles of imports, types included', () => {
    expect(circles()).toEqual([])
  })

  test('has no folder with more than a dozen files', () => {
    const counts = new Map<string, number>()
    for (const { name } of production) {
      const folder = posix.dirname(name)
      counts.set(folder, (counts.get(folder) ?? 0) + 1)
    }
    expect([...counts].filter(([, count]) => count > 12)).toEqual([])
  })

  test('has no file longer than a few screens', () => {
    expect(
      production
        .map(({ name, text }) => [name, text.split('\n').length - 1] as const)
        .filter(([, lines]) => lines > 300),
    ).toEqual([])
  })

  test('declares every exported name once', () => {
    const places = new Map<string, string[]>()
    for (const { name, code } of production)
      for (const exported of new Set(exportsOf(code))) places.set(exported, [...(places.get(exported) ?? []), name])
    expect([...places].filter(([, declared]) => declared.length > 1)).toEqual([])
  })

  test('says in the first line of each file what it is', () => {
    expect(sources.filter(({ text }) => !/^\/\/ \S/.test(text)).map(({ name }) => name)).toEqual([])
  })
})

describe('the comments', () => {
  const comments = production.flatMap(commentsOf)

  test('keep no list of users by hand', () => {
    expect(comments.filter(({ comment }) => /\bUsed by\b/.test(comment))).toEqual([])
  })

  test('quote no measured figures: those stand in docs/performance.md, with their date', () => {
    const fraction =
      /\b(?:a|an|two|three|half|most) (?:half|third|quarter|fifth|sixth|seventh|eighth|tenth|twelfth|fifteenth|twentieth|twenty-fifth|thirtieth|fortieth|fiftieth|hundredth)s?\b|\bhalf of the (?:CPU|time)\b|\bcosts? (?:a|some|\d+) (?:micro|µs|ms)/i
    expect(comments.filter(({ comment }) => fraction.test(comment))).toEqual([])
  })
})

describe('the tests', () => {
  test('give what they wait for the time of a slow machine: `vi.waitFor` gives up after a second by itself', () => {
    const names = readdirSync(testRoot, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
    const hasty = names.flatMap((name) => {
      const text = readFileSync(join(testRoot, name), 'utf8')
      return [...text.matchAll(/\bvi\.wait(?:For|Until)\(/g)]
        .map(({ 0: call, index }) => ({ index, asked: callAt(text, index + call.length) }))
        .filter(({ asked }) => !/\b\d+_000\b/.test(asked))
        .map(({ index }) => `${name}:${text.slice(0, index).split('\n').length}`)
    })
    expect(hasty).toEqual([])
  })
})

/** The arguments of a call, from behind its parenthesis. */
function callAt(text: string, start: number): string {
  let depth = 1
  let end = start
  for (; depth > 0 && end < text.length; end += 1) {
    if (text[end] === '(') depth += 1
    if (text[end] === ')') depth -= 1
  }
  return text.slice(start, end)
}
