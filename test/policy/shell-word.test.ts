// Words of commands that people paste.

import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { shellOption, shellWord } from '../../src/policy/tools/shell-word.ts'

const words = ['a', 'a b', "it's", '$HOME `x` "q"', 'x\ny', '\u001b[31m\u202ered\\n', 'ü\u200b\u{e0041}', '*', '~', '#']

test('a shell reads each word as it was, whatever stands in it, and what is not seen is spelled out', () => {
  const written = words.map(shellWord)
  for (const word of written) expect(word).toMatch(/^[\P{C}]+$/u)
  const read = execFileSync('bash', ['--norc', '-c', String.raw`printf '%s\0' ${written.join(' ')}`], {
    encoding: 'utf8',
    env: { LC_ALL: 'C.UTF-8' },
  })
  expect(read.split('\0').slice(0, -1)).toEqual(words)
})

test('a value that begins with a dash is no option', () => {
  expect(shellOption('sub', '-x y')).toBe("--sub='-x y'")
  expect(shellOption('log', 'my log')).toBe("--log 'my log'")
})
