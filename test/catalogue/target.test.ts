// The one reading of a request target: what is refused because two servers could read it differently, and that what is
// accepted can be read in one way only.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTarget, queryParameters, readTarget } from '../../src/catalogue/target.ts'
import { Problem } from '../../src/problems.ts'

const host = 'gateway.corp.example:8080'

/** `accepted`, or the kind of the refusal. Anything else that is thrown is a defect and fails the test. */
function outcomeOf(target: string): string {
  try {
    readTarget(target, host)
    return 'accepted'
  } catch (error) {
    if (error instanceof Problem) return error.kind
    throw error
  }
}

function percent(byte: number): string {
  return `%${byte.toString(16).padStart(2, '0')}`
}

const refused: Readonly<Record<string, readonly string[]>> = {
  'a dot segment': ['/.', '/..', '/./v3/self', '/../v3/self', '/v3/./self', '/v3/../self', '/v3/self/.', '/v3/self/..'],
  'an escaped dot segment': [
    '/%2e',
    '/%2E%2E',
    '/v3/%2e/self',
    '/v3/%2e%2e/self',
    '/v3/%2E%2e/self',
    '/v3/.%2e/self',
    '/v3/%2e./self',
    '/v3/self/%2e',
    '/v3/self/%2e.',
  ],
  'a dot segment behind an escaped slash': [
    '/v3/a%2F..%2Fb',
    '/v3/a%2f.%2fb',
    '/v3/a%2F..',
    '/v3/..%2Fa',
    '/v3/%2e%2e%2fa',
    '/v3/a%2F%2e',
    '/v3/.%2Fa',
  ],
  'an empty segment': ['//', '///', '//v3/self', '/v3//self', '/v3/self//', '//gateway.corp.example:8080/v3/self'],
  'a trailing slash': ['/v3/self/', '/v3/', '/v3/self/?x=1'],
  'an escaped empty segment': ['/%2F', '/v3/%2Fself', '/v3/self%2F', '/v3/a%2F%2Fb', '/v3/%2f', '/%2f%2fevil/self'],
  'a backslash': ['/v3\\self', '/\\evil', '/v3/..\\self', '/v3/%5cself', '/v3/%5C', '/v3/a..%5c..%5cb'],
  'a semicolon': ['/v3/self;x=1', '/v3;/self', '/;', '/v3/self%3Bx', '/v3/self%3b', '/v3/..;/self'],
  'a NUL': ['/v3/self%00', '/v3/%00', '/v3/self%00.json', '/v3/self\u0000'],
  'a raw byte outside "!" to "~"': [
    '/v3/a b',
    '/v3/a\tb',
    '/v3/a\r\nb',
    '/v3/a\u007f',
    '/v3/\u0080',
    '/v3/é',
    '/v3/\u00ff',
    '/v3/😀',
    '/v3/self?a=\u00e9',
    '/v3/self?a= b',
  ],
  'a double escape': [
    '/v3/%252e%252e/self',
    '/v3/%252E',
    '/v3/%25%32%65',
    '/v3/%25%32%45%25%32%45',
    '/v3/%252%65',
    '/v3/%25%32e',
    '/v3/a%252Fb',
    '/v3/a%25%32%66b',
    '/v3/a%253Bb',
    '/v3/a%255cb',
    '/v3/a%2500',
    '/v3/%25252e',
    '/v3/%252525',
    '/v3/a%2541',
  ],
  'a malformed escape': ['/v3/%', '/v3/a%2', '/v3/%zz', '/v3/%0g', '/v3/%g0', '/v3/%u002e', '/v3/%-1', '/v3/%%32%65'],
  'an escape that is not UTF-8': [
    '/v3/%ff',
    '/v3/%80',
    '/v3/%C3',
    '/v3/%C3%28',
    '/v3/%E2%82',
    '/v3/%F4%90%80%80',
    '/v3/%ED%A0%80',
    '/v3/%C3/%A9',
  ],
  'an overlong escape': [
    '/v3/%C0%AE',
    '/v3/%c0%ae%c0%ae',
    '/v3/%C0%AF',
    '/v3/%E0%80%AE',
    '/v3/%F0%80%80%AE',
    '/v3/%C1%9C',
  ],
  'a fragment': ['/v3/self#', '/v3/self#x', '/#', '/v3/self?x=1#y', '#'],
  'another form than the origin form': ['', '*', 'v3/self', '?x=1', host, 'v3:self', './v3/self', 'javascript:1'],
  'an absolute form of another authority': [
    'http://evil.example/v3/self',
    'https://evil.example/v3/self',
    'http://gateway.corp.example/v3/self',
    'http://gateway.corp.example:8081/v3/self',
    `http://${host}.evil.example/v3/self`,
    `http://${host}@evil.example/v3/self`,
    `http://user@${host}/v3/self`,
    `http://evil.example\\@${host}/v3/self`,
    `http://${host}%2eevil/v3/self`,
    `http://${host}\\.evil/v3/self`,
    `ftp://${host}/v3/self`,
    `http:/${host}/v3/self`,
    `http:${host}/v3/self`,
    'http:///v3/self',
    'http://',
  ],
  'an absolute form of this authority with a bad path': [
    `http://${host}//v3/self`,
    `http://${host}/v3/../self`,
    `http://${host}/v3/%2e%2e`,
    `http://${host}/v3/self/`,
    `http://${host}/v3/self#x`,
    `http://${host}#x`,
  ],
}

describe('a target is refused as ambiguous-path when it holds', () => {
  for (const [what, targets] of Object.entries(refused)) {
    test.each(targets)(`${what}: %j`, (target) => {
      expect(outcomeOf(target)).toBe('ambiguous-path')
    })
  }

  test('any escaped control byte: C0, delete, and C1 behind its UTF-8 lead byte', () => {
    for (let byte = 0x00; byte < 0x20; byte += 1)
      expect(outcomeOf(`/v3/a${percent(byte)}b`), percent(byte)).toBe('ambiguous-path')
    expect(outcomeOf('/v3/a%7Fb')).toBe('ambiguous-path')
    for (let byte = 0x80; byte < 0xa0; byte += 1)
      expect(outcomeOf(`/v3/a%C2${percent(byte)}b`), percent(byte)).toBe('ambiguous-path')
  })

  test('any raw byte outside "!" to "~", in the path and in the query', () => {
    for (let code = 0; code < 0x100; code += 1) {
      if (code > 0x20 && code < 0x7f) continue
      const character = String.fromCharCode(code)
      expect(outcomeOf(`/v3/a${character}b`), percent(code)).toBe('ambiguous-path')
      expect(outcomeOf(`/v3/self?a${character}b`), percent(code)).toBe('ambiguous-path')
    }
  })

  test('an absolute form while no Host field says which authority is meant', () => {
    expect(() => readTarget(`http://${host}/v3/self`, undefined)).toThrow(/^The path is refused/)
    expect(() => parseTarget(`http://${host}/v3/self`)).toThrow(/^The path is refused/)
  })

  test('something, and the answer says what and what to do, without repeating the path', () => {
    const problem = (() => {
      try {
        return readTarget('/v3/secret-looking%00', host)
      } catch (error) {
        return error
      }
    })()
    expect(problem).toBeInstanceOf(Problem)
    expect(problem).toMatchObject({ kind: 'ambiguous-path', status: 400 })
    expect(String(problem)).toMatch(/^Problem: The path is refused because .+\. Send .+\.$/)
    expect(String(problem)).not.toContain('secret-looking')
  })
})

describe('a target is accepted', () => {
  test.each([
    ['/', []],
    ['/v3/self', ['v3', 'self']],
    ['/v3/organizations/org-a/members/email|ada', ['v3', 'organizations', 'org-a', 'members', 'email|ada']],
    ['/v3/okta%7COrg%7c1', ['v3', 'okta%7COrg%7c1']],
    ['/v3/repositories/corp%2Fapi', ['v3', 'repositories', 'corp%2Fapi']],
    ['/v3/a%2fb%2Fc', ['v3', 'a%2fb%2Fc']],
    ['/v3/Platform%20Engineers', ['v3', 'Platform%20Engineers']],
    ['/v3/caf%C3%A9', ['v3', 'caf%C3%A9']],
    ['/v3/%F0%9F%98%80', ['v3', '%F0%9F%98%80']],
    ['/v3/100%25', ['v3', '100%25']],
    ['/v3/100%25%20off', ['v3', '100%25%20off']],
    ['/v3/%41', ['v3', '%41']],
    ['/v3/a%23b%3Fc', ['v3', 'a%23b%3Fc']],
    ['/v3/...', ['v3', '...']],
    ['/v3/.env/..a/a../a..b', ['v3', '.env', '..a', 'a..', 'a..b']],
    ["/v3/!$&'()*+,=:@-._~", ['v3', "!$&'()*+,=:@-._~"]],
    ['/V3/Self', ['V3', 'Self']],
  ])('%s, raw segment by raw segment', (path, segments) => {
    expect(readTarget(path, host)).toEqual({ path, segments, query: '' })
    expect(parseTarget(path)).toEqual({ path, segments, query: '' })
  })

  test.each([
    [`http://${host}/v3/self`, '/v3/self', ''],
    [`HTTP://${host.toUpperCase()}/v3/self?a=1`, '/v3/self', 'a=1'],
    [`https://${host}/v3/self`, '/v3/self', ''],
    [`http://${host}`, '/', ''],
    [`http://${host}?a=1`, '/', 'a=1'],
  ])('in absolute form of the authority in the Host field: %s', (target, path, query) => {
    expect(readTarget(target, host)).toMatchObject({ path, query })
  })

  test.each([
    ['/v3/self?', ''],
    ['/v3/self?a=1&b=2', 'a=1&b=2'],
    ['/v3/self?a?b', 'a?b'],
    ['/v3/self?next=//evil/../x;y\\z', 'next=//evil/../x;y\\z'],
    ['/v3/self?a=%zz&b=%252e&c=%ff&d=%', 'a=%zz&b=%252e&c=%ff&d=%'],
    ['/v3/self?a=..%2F%00', 'a=..%2F%00'],
  ])('with its query as it was sent, because the rules of the path are not those of the query: %s', (target, query) => {
    expect(readTarget(target, host)).toEqual({ path: '/v3/self', segments: ['v3', 'self'], query })
  })
})

describe('whatever is accepted', () => {
  // Pieces that attacks on paths are made of, and harmless ones between them.
  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '/',
      '/',
      'a',
      'v3',
      '.',
      '..',
      '%2e',
      '%2E',
      '%2f',
      '%2F',
      '%5c',
      '\\',
      ';',
      '%3b',
      '%00',
      '%',
    ),
    fc.constantFrom(
      '%25',
      '25',
      '2e',
      '%252e',
      '%c0',
      '%ae',
      '%C3%A9',
      '%7C',
      '|',
      '%20',
      ' ',
      '?',
      '#',
      '*',
      '~',
      '%7f',
    ),
    fc.integer({ min: 0, max: 255 }).map(percent),
    fc.string({ maxLength: 3 }),
  )
  const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join('')}`)

  function controlsIn(text: string): boolean {
    return Array.from(text).some((character) => {
      const code = character.codePointAt(0) ?? 0
      return code < 0x20 || (code >= 0x7f && code < 0xa0)
    })
  }

  test('decodes once to the same segments for everybody: none empty, no dots, nothing that a second decoding changes', () => {
    let accepted = 0
    fc.assert(
      fc.property(target, (text) => {
        if (outcomeOf(text) !== 'accepted') return
        accepted += 1
        const { path, segments, query } = readTarget(text, host)
        expect(query === '' ? path : `${path}?${query}`).toBe(
          text.endsWith('?') && query === '' ? text.slice(0, -1) : text,
        )
        expect(`/${segments.join('/')}`).toBe(path)
        const decoded = decodeURIComponent(path)
        if (path !== '/') {
          for (const segment of decoded.slice(1).split('/')) expect(['', '.', '..']).not.toContain(segment)
        }
        expect(decoded).not.toMatch(/[\\;]/)
        expect(controlsIn(decoded)).toBe(false)
        expect(decoded).not.toMatch(/%[0-9a-f]{2}/i)
      }),
      { numRuns: 20_000, seed: 1 },
    )
    expect(accepted).toBeGreaterThan(1000)
  })

  test('reads the same when it is read again', () => {
    fc.assert(
      fc.property(target, (text) => {
        if (outcomeOf(text) !== 'accepted') return
        const once = readTarget(text, host)
        expect(readTarget(once.query === '' ? once.path : `${once.path}?${once.query}`, host)).toEqual(once)
      }),
      { numRuns: 5000, seed: 2 },
    )
  })

  test('is no absolute address for a client that resolves it against another one', () => {
    fc.assert(
      fc.property(target, (text) => {
        if (outcomeOf(text) !== 'accepted') return
        expect(new URL(readTarget(text, host).path, 'http://upstream.example').host).toBe('upstream.example')
      }),
      { numRuns: 5000, seed: 3 },
    )
  })
})

describe('a query is read', () => {
  test.each<[query: string, parameters: [string, string][]]>([
    ['', []],
    ['a=1', [['a', '1']]],
    ['a', [['a', '']]],
    ['a=', [['a', '']]],
    ['=1', [['', '1']]],
    ['a=b=c', [['a', 'b=c']]],
    [
      'a=1&a=2',
      [
        ['a', '1'],
        ['a', '2'],
      ],
    ],
    [
      'a=x+y&b+c=1',
      [
        ['a', 'x y'],
        ['b c', '1'],
      ],
    ],
    ['a=x%2By', [['a', 'x+y']]],
    ['%6Frg_id=org%2Da', [['org_id', 'org-a']]],
    ['a=%C3%A9', [['a', 'é']]],
    ['a=x%26b%3D1', [['a', 'x&b=1']]],
    [
      'a=%zz&b=%',
      [
        ['a', '%zz'],
        ['b', '%'],
      ],
    ],
    ['a=%ff', [['a', '%ff']]],
    ['a=%256F', [['a', '%6F']]],
  ])('as forms are: %s', (query, parameters) => {
    expect(queryParameters(query)).toEqual(parameters)
  })

  test('so that every parameter is found that a common server finds in it', () => {
    const word = fc.constantFrom('org_id', 'org_ids', 'org%5Fid', 'a', 'org-a', 'org+b', '%20', '%26', '')
    const joint = fc.constantFrom('=', '=', '&', '&', '+')
    fc.assert(
      fc.property(fc.array(fc.tuple(word, joint), { maxLength: 8 }), (parts) => {
        const query = parts.flat().join('')
        const found = queryParameters(query).map(([name, value]) => `${name}=${value}`)
        for (const [name, value] of new URLSearchParams(query)) expect(found).toContain(`${name}=${value}`)
      }),
      { numRuns: 2000, seed: 4 },
    )
  })
})
