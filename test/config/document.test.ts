import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { readYaml, topLevelKeys } from '../../src/config/yaml/document.ts'

const schema = z.strictObject({
  name: z.string().optional(),
  count: z.int().optional(),
  ratio: z.number().optional(),
  open: z.boolean().optional(),
  mode: z.enum(['enforce', 'shadow', 'off']).optional(),
  fence: z.union([z.literal('all'), z.array(z.string())]).optional(),
  names: z.array(z.string()).optional(),
  quota: z.union([z.string(), z.strictObject({ rate: z.string(), burst: z.int().optional() })]).optional(),
  inner: z.strictObject({ algorithms: z.array(z.string()), claims: z.string().optional() }).optional(),
  free: z.record(z.string().regex(/^[a-z]+$/, 'must be small letters'), z.unknown()).optional(),
})

function read(text: string, env?: Readonly<Record<string, string | undefined>>) {
  return readYaml({ file: 'f.yaml', text, schema, holds: 'a name', ...(env === undefined ? {} : { env }) })
}

function valueOf(text: string, env?: Readonly<Record<string, string | undefined>>): unknown {
  const result = read(text, env)
  return result.ok ? result.value : problems(text, env)
}

function problems(text: string, env?: Readonly<Record<string, string | undefined>>): string[] {
  return read(text, env).diagnostics.map(formatDiagnostic)
}

describe('a file that is no YAML', () => {
  it.each([
    ['', 'f.yaml:1:1: the file is empty: it should hold a name'],
    ['# only a comment\n', 'f.yaml:1:1: the file is empty: it should hold a name'],
    ['name: a\ncount: 1\nname: b\n', 'f.yaml:3:1: this key appears twice in the same mapping: remove one of the two'],
    [
      '---\nname: a\n---\nname: b\n',
      'f.yaml:3:1: the file holds several documents: remove the "---" line and what follows, or make it a file of its own',
    ],
    ['inner:\n\talgorithms: []\n', 'f.yaml:2:1: YAML does not allow tabs as indentation: use spaces'],
    ['name: "a\n', 'f.yaml:1:7: this " is never closed: put another one where the text ends'],
    ['name: @a\n', 'f.yaml:1:7: a text that begins with "@" must be in quotes'],
    ['name: a: b\n', 'f.yaml:1:7: a text with ": " in it must be in quotes'],
    [
      'inner: { claims: /v3/{id}, algorithms: [] }\n',
      'f.yaml:1:22: unexpected "{"; texts that hold { } [ ] or , must be in quotes inside { … } and [ … ]',
    ],
    [`free: ${'{a: '.repeat(70)}1${'}'.repeat(70)}\n`, 'f.yaml:1:263: the file is nested too deeply'],
  ])('is refused with its place: %.40j', (text, message) => {
    expect(problems(text)).toEqual([message])
  })

  it('names every repeated key, however long the mapping is', () => {
    const keys = Array.from({ length: 30_000 }, (_, index) => `k${index}: 1\n`).join('')
    const repeated = `free:\n  ? [a]\n  : 1\n  1: a\n  "1": b\n  1: c\n  __proto__: 1\n  "__proto__": 2\n${keys}k0: 2\nk7: 2\n`
    const message = 'this key appears twice in the same mapping: remove one of the two'
    expect(problems(repeated)).toEqual(
      [6, 8, 30_009, 30_010].map((line) => `f.yaml:${line}:${line < 10 ? 3 : 1}: ${message}`),
    )
  })

  it.each(['[', '{a: ', '- '])('or exhausts its reader is refused: thousands of %j', (opening) => {
    expect(
      problems(`names:\n  ${opening.repeat(20_000)}`).map((line) => line.replace(/^f.yaml:\d+:\d+: /, '')),
    ).toEqual(['the file is nested too deeply'])
  })

  it.each([
    [
      'names: &n [a]\n',
      [
        'f.yaml:1:11: anchors and aliases are not supported: write the value out, or put a text that begins with "&" or "*" in quotes',
      ],
    ],
    [
      'free:\n  a: &a [x, x]\n  b: [*a, *a]\n',
      [
        'f.yaml:2:9: anchors and aliases are not supported: write the value out, or put a text that begins with "&" or "*" in quotes',
        'f.yaml:3:7: anchors and aliases are not supported: write the value out, or put a text that begins with "&" or "*" in quotes',
        'f.yaml:3:11: anchors and aliases are not supported: write the value out, or put a text that begins with "&" or "*" in quotes',
      ],
    ],
    [
      'name: *nobody\n',
      [
        'f.yaml:1:7: anchors and aliases are not supported: write the value out, or put a text that begins with "&" or "*" in quotes',
      ],
    ],
    [
      'name: !!binary aGVs\n',
      ['f.yaml:1:16: tags like !!binary are not supported: write the plain value, in quotes if it is a text'],
    ],
    [
      'name: !env X\n',
      ['f.yaml:1:7: tags like !env are not supported: write the plain value, in quotes if it is a text'],
    ],
    ['__proto__: 1\n', ['f.yaml:1:1: the key "__proto__" is not allowed']],
    ['0123: 1\n', ['f.yaml:1:1: the key 0123 is not a text for YAML: put it in quotes']],
    ['? [a]\n: 1\n', ['f.yaml:1:3: a key must be a plain word']],
    [': 1\n', ['f.yaml:1:1: a key is missing before ":"']],
  ])('or hides what it holds is refused: %j', (text, messages) => {
    expect(problems(text)).toEqual(messages)
  })

  it('merges nothing: "<<" is a key like any other', () => {
    expect(problems('<<: { name: a }\n')).toEqual([
      'f.yaml:1:1: unknown key "<<": the keys here are name, count, ratio, open, mode, fence, names, quota, inner, free',
    ])
  })
})

describe('a key', () => {
  it('that is unknown is an error at the key, with the nearest spelling that is valid there', () => {
    expect(problems('inner:\n  algorithms: []\n  claim: sub\nnane: x\n')).toEqual([
      'f.yaml:3:3: unknown key "claim"; did you mean "claims"?',
      'f.yaml:4:1: unknown key "nane"; did you mean "name"?',
    ])
  })

  it('that is unknown and near to nothing is an error with all keys', () => {
    expect(problems('inner: { algorithms: [], zebra: 1 }\n')).toEqual([
      'f.yaml:1:26: unknown key "zebra": the keys here are algorithms, claims',
    ])
  })

  it('that is missing is an error at the mapping it should stand in', () => {
    expect(problems('name: a\ninner: {}\n')).toEqual(['f.yaml:2:1: missing key "algorithms"'])
    expect(problems('name: a\ninner:\n  claims: b\n')).toEqual(['f.yaml:2:1: missing key "algorithms"'])
  })

  it('that is misspelt is not also called missing', () => {
    expect(problems('inner:\n  algoritms: [RS256]\n')).toEqual([
      'f.yaml:2:3: unknown key "algoritms"; did you mean "algorithms"?',
    ])
  })

  it('of a free mapping is checked at the key', () => {
    expect(problems('free:\n  a: 1\n  B: 1\n')).toEqual(['f.yaml:3:3: must be small letters'])
  })
})

describe('a value of the wrong kind', () => {
  it.each([
    ['name: [a]', 'f.yaml:1:7: expected a string, found a list'],
    ['name: { a: 1 }', 'f.yaml:1:7: expected a string, found a mapping'],
    ['name:', 'f.yaml:1:1: expected a string, found nothing'],
    ['names: a', 'f.yaml:1:8: expected a list, found the text "a": put it in brackets, [a]'],
    ['names:\n  - a\n  - [b]', 'f.yaml:3:5: expected a string, found a list'],
    ['inner: a', 'f.yaml:1:8: expected a mapping, found the text "a"'],
    ['inner:\n  - a', 'f.yaml:1:1: expected a mapping, found a list'],
    ['free: 5', 'f.yaml:1:7: expected a mapping, found the number 5'],
    ['count: "5"', 'f.yaml:1:8: expected a number, found the text "5": remove the quotes'],
    ['count: 12_3', 'f.yaml:1:8: expected a number, found the text "12_3"'],
    ['count: 1.5', 'f.yaml:1:8: expected a whole number, found the number 1.5'],
    ['count: true', 'f.yaml:1:8: expected a number, found true'],
    ['open: yes', 'f.yaml:1:7: expected true or false, found the text "yes": write true'],
    ['open: null', 'f.yaml:1:7: expected true or false, found nothing (null)'],
    [
      'mode: shadows',
      'f.yaml:1:7: expected "enforce", "shadow" or "off", found the text "shadows"; did you mean "shadow"?',
    ],
    ['mode: 1', 'f.yaml:1:7: expected "enforce", "shadow" or "off", found the number 1'],
    ['fence: alll', 'f.yaml:1:8: expected "all" or a list, found the text "alll"; did you mean "all"?'],
    ['quota: [a]', 'f.yaml:1:8: expected a string or a mapping, found a list'],
    ['quota: { burst: 1 }', 'f.yaml:1:1: missing key "rate"'],
    ['quota: { rat: a }', 'f.yaml:1:10: unknown key "rat"; did you mean "rate"?'],
    ['quota: { rate: a, burst: b }', 'f.yaml:1:26: expected a number, found the text "b"'],
    ['fence: { a: b }', 'f.yaml:1:8: expected "all" or a list, found a mapping: begin each entry with "- "'],
    ['fence: [a, 5]', 'f.yaml:1:12: expected a string, but YAML reads 5 as a number: put it in quotes'],
    [
      `name: a\nmode: ${'x'.repeat(100)}`,
      `f.yaml:2:7: expected "enforce", "shadow" or "off", found the text "${'x'.repeat(57)}…"`,
    ],
    ['- name', 'f.yaml:1:1: expected a mapping, found a list'],
    ['just words', 'f.yaml:1:1: expected a mapping, found the text "just words"'],
  ])('is one error that says what was found: %.40j', (text, message) => {
    expect(problems(text)).toEqual([message])
  })
})

describe('what YAML reads as something else than a text', () => {
  it.each([
    ['0123', 'the number 123'],
    ['123', 'a number'],
    ['1e3', 'the number 1000'],
    ['0x10', 'the number 16'],
    ['0o17', 'the number 15'],
    ['.5', 'the number 0.5'],
    ['1.0', 'the number 1'],
    ['.inf', 'the number Infinity'],
    ['123456789012345678901', 'the number 123456789012345680000'],
    ['true', 'a boolean'],
    ['False', 'a boolean'],
    ['null', 'no value'],
    ['~', 'no value'],
  ])('must be put in quotes where a text is wanted: %s', (written, read) => {
    const message = `expected a string, but YAML reads ${written} as ${read}: put it in quotes`
    expect(problems(`name: ${written}\n`)).toEqual([`f.yaml:1:7: ${message}`])
    expect(problems(`names: [a, ${written}]\n`)).toEqual([`f.yaml:1:12: ${message}`])
  })

  it.each(['12_3', 'no', 'on', 'off', '1:30', '2026-01-31', '0b1', '1e3x', '+-1'])(
    'is not %s, which is a text in every file',
    (written) => {
      expect(valueOf(`name: ${written}\n`)).toEqual({ name: written })
      expect(valueOf(`%YAML 1.1\n---\nname: ${written}\n`)).toEqual({ name: written })
    },
  )

  it('must be exact where a number is wanted', () => {
    expect(problems('count: 010\nratio: -007.5\nfree: { a: 9007199254740993, b: .nan }\n')).toEqual([
      'f.yaml:1:8: 010 is not read as the same number everywhere: drop the leading zero, or put it in quotes if it is a text',
      'f.yaml:2:8: -007.5 is not read as the same number everywhere: drop the leading zero, or put it in quotes if it is a text',
      'f.yaml:3:12: 9007199254740993 cannot be kept exactly as a number: put it in quotes if it is a text',
      'f.yaml:3:33: .nan cannot be kept exactly as a number: put it in quotes if it is a text',
    ])
    expect(valueOf('count: 0\nratio: 0.5\n')).toEqual({ count: 0, ratio: 0.5 })
  })
})

describe('a variable', () => {
  const env = {
    HOME: '/home/a',
    EMPTY: '',
    NESTED: '${HOME}',
    ANSWER: '42',
    KEY: 'cog_abcdef0123456789',
    MODE: 'secret-word',
  }

  it.each([
    ['${HOME}', '/home/a'],
    ['${HOME}/x/${ANSWER}', '/home/a/x/42'],
    ['${NOPE:-other}', 'other'],
    ['${NOPE:-}', ''],
    ['${EMPTY:-other}', 'other'],
    ['${EMPTY}', ''],
    ['${HOME:-other}', '/home/a'],
    ['$${HOME}', '${HOME}'],
    ['$$${HOME}', '$${HOME}'],
    ['$HOME $5', '$HOME $5'],
    ['${NESTED}', '${HOME}'],
    ['${ANSWER}', '42'],
  ])('in %s gives %j', (written, expected) => {
    expect(valueOf(`name: '${written}'\n`, env)).toEqual({ name: expected })
    expect(valueOf(`free: { a: ['${written}'] }\n`, env)).toEqual({ free: { a: [expected] } })
  })

  it.each([
    ['${NOPE}', 'the environment variable NOPE is not set: set it, or give a default with ${NOPE:-default}'],
    [
      '${constructor}',
      'the environment variable constructor is not set: set it, or give a default with ${constructor:-default}',
    ],
    ['${}', '"${" begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the two characters themselves'],
    ['${A-b}', '"${" begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the two characters themselves'],
    ['${HOME', '"${" begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the two characters themselves'],
  ])('that is written as %s is an error at its value', (written, message) => {
    expect(problems(`count: 1\nname: '${written}'\n`, env)).toEqual([`f.yaml:2:7: ${message}`])
  })

  it('is taken in values only, never in keys', () => {
    expect(problems("'${HOME}': 1\n", env)).toEqual([
      'f.yaml:1:1: unknown key "${HOME}": the keys here are name, count, ratio, open, mode, fence, names, quota, inner, free',
    ])
  })

  it('never becomes a number, a boolean or a piece of YAML', () => {
    expect(problems("count: '${ANSWER}'\nopen: '${NOPE:-true}'\n", env)).toEqual([
      'f.yaml:1:8: expected a number, found the text "${ANSWER}"',
      'f.yaml:2:7: expected true or false, found the text "${NOPE:-true}"',
    ])
    expect(valueOf("name: '${INJECTED}'\n", { INJECTED: 'x"\nopen: true' })).toEqual({ name: 'x"\nopen: true' })
  })

  it('is shown by its name in every message, never by what it holds', () => {
    expect(problems("mode: '${MODE}'\n", env)).toEqual([
      'f.yaml:1:7: expected "enforce", "shadow" or "off", found the text "${MODE}"',
    ])
  })

  it('that cannot be put in hides no other mistake', () => {
    expect(problems("name: '${NOPE}'\nmode: '${NOPE}'\ncuont: 1\n", env)).toEqual([
      'f.yaml:1:7: the environment variable NOPE is not set: set it, or give a default with ${NOPE:-default}',
      'f.yaml:2:7: the environment variable NOPE is not set: set it, or give a default with ${NOPE:-default}',
      'f.yaml:3:1: unknown key "cuont"; did you mean "count"?',
    ])
  })

  it('is not looked for where no environment is given', () => {
    expect(valueOf("name: '${HOME}'\n")).toEqual({ name: '${HOME}' })
  })
})

describe('a document', () => {
  it('shows all mistakes at once, in the order of the file', () => {
    expect(problems('open: 1\nnames: [1, 2]\ncuont: 3\nmode: of\n')).toEqual([
      'f.yaml:1:7: expected true or false, found the number 1',
      'f.yaml:2:9: expected a string, but YAML reads 1 as a number: put it in quotes',
      'f.yaml:2:12: expected a string, but YAML reads 2 as a number: put it in quotes',
      'f.yaml:3:1: unknown key "cuont"; did you mean "count"?',
      'f.yaml:4:7: expected "enforce", "shadow" or "off", found the text "of"; did you mean "off"?',
    ])
  })

  it('never has a key value repeated in a message', () => {
    const key = 'cog_0123456789abcdef.x-y_z'
    const written = [
      `mode: ${key}\n`,
      `${key}: 1\n`,
      `count: "${key}"\n`,
      `mode: '\${V:-${key}}'\n`,
      `name: [ ${key}\n`,
      `name: a\n ${key}\n b: 1\n`,
      `? ${key}\n`,
    ]
    for (const text of written) {
      const messages = problems(text, {}).join('\n')
      expect(messages).not.toBe('')
      expect(messages).not.toContain('0123456789')
    }
  })

  it('tells where each value stands, or what is nearest to it', () => {
    const result = read('name: a\ninner:\n  algorithms:\n    - RS256\n    - ES256\nfree: { a: { b: 1 } }\n')
    if (!result.ok) throw new Error('it should be valid')
    const places = [
      ['name'],
      ['inner'],
      ['inner', 'algorithms', 1],
      ['inner', 'algorithms', 7],
      ['inner', 'claims'],
      ['free', 'a', 'b'],
      ['nope'],
      [],
    ]
    expect(places.map((path) => Object.values(result.positionOf(path)).join(':'))).toEqual([
      '1:7',
      '2:1',
      '5:7',
      '3:3',
      '2:1',
      '6:17',
      '1:1',
      '1:1',
    ])
  })

  it('may begin with a byte order mark and end its lines as Windows does', () => {
    expect(valueOf('\uFEFFname: a\r\nnames:\r\n  - b\r\n')).toEqual({ name: 'a', names: ['b'] })
    expect(problems('name: a\r\ncuont: 1\r\n')).toEqual(['f.yaml:2:1: unknown key "cuont"; did you mean "count"?'])
  })

  it('shows its top-level keys even when the rest is not valid', () => {
    expect(topLevelKeys('team: a\nmembers: [\n')).toEqual(['team', 'members'])
    expect(topLevelKeys('- team\n')).toEqual([])
    expect(topLevelKeys('')).toEqual([])
  })
})
