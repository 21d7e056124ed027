import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isSensitiveName, maskSecrets, printable } from '../../src/records/mask.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_c2ln'

describe('maskSecrets', () => {
  it.each([
    ['a key', 'cog_AbC-123._~+/=', 'cog_[masked]'],
    ['a key in another case', 'Cog_AbC-123 COG_x aPk_User_1', 'Cog_[masked] COG_[masked] aPk_[masked]'],
    ['a key inside a word and a URL', 'https://x/?k=cog_a%2Bb&y=1', 'https://x/?k=cog_[masked]&y=1'],
    ['both kinds of key, twice', '(apk_user_1, cog_2) cog_3', '(apk_[masked], cog_[masked]) cog_[masked]'],
    ['a key in JSON', '{"value":"cog_1"}', '{"value":"cog_[masked]"}'],
    ['a token', `sent ${jwt}.`, 'sent eyJ[masked]'],
    ['a token in a path', `/v3/${jwt}/x`, '/v3/eyJ[masked]/x'],
    ['a short token', 'eyJh.eyJz.c2', 'eyJ[masked]'],
    ['a token without signature', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.', 'eyJ[masked]'],
    ['a token that was cut off', jwt.slice(0, 30), 'eyJ[masked]'],
    ['an opaque bearer token', 'Authorization: Bearer 0123456789abcdef0123', 'Authorization: Bearer [masked]'],
    ['a query parameter', '/x?access_token=opaque&a=1', '/x?access_token=[masked]&a=1'],
    ['a quoted pair', `password='hunter2' api_key="k"`, `password='[masked]' api_key="[masked]"`],
    ['the form of a key', 'it must be cog_ followed by letters', 'it must be cog_ followed by letters'],
    ['a word', 'keyJoin failed, bearer of news', 'keyJoin failed, bearer of news'],
    [
      'nothing secret',
      'GET /v3/organizations/org-payments/sessions 200',
      'GET /v3/organizations/org-payments/sessions 200',
    ],
  ])('treats %s', (_name, text, masked) => {
    expect(maskSecrets(text)).toBe(masked)
  })

  it('leaves no key and no token in any text, and changes nothing the second time', () => {
    const secret = fc.oneof(
      fc.stringMatching(/^cog_[A-Za-z0-9]{8,40}$/),
      fc.stringMatching(/^apk_(user_)?[A-Za-z0-9]{8,40}$/),
      fc.stringMatching(/^eyJ[A-Za-z0-9_-]{8,40}\.[A-Za-z0-9_-]{8,40}\.[A-Za-z0-9_-]{8,40}$/),
    )
    const around = fc.oneof(
      fc.string(),
      fc.constantFrom('', ' ', '"', '.', '-', '_', '/', 'eyJ', 'cog_', 'Bearer ', 'token='),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(around, secret, around), { minLength: 1, maxLength: 4 }), (parts) => {
        const masked = maskSecrets(parts.flat().join(''))
        for (const [, value] of parts) expect(masked).not.toContain(value.slice(4))
        expect(maskSecrets(masked)).toBe(masked)
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    ['eyJ'.repeat(700_000)],
    ['eyJ.'.repeat(500_000)],
    ['cog_'.repeat(500_000)],
    [`bearer${' '.repeat(2_000_000)}`],
    ['bearer '.repeat(300_000)],
    ['token'.repeat(400_000)],
    ['a'.repeat(2_000_000)],
  ])('takes two megabytes of the worst text in its stride (%#)', (text) => {
    // With a quadratic pattern this would run for hours and hit the time limit of the test.
    expect(maskSecrets(text).length).toBeGreaterThan(0)
  })
})

describe('printable', () => {
  it('drops what is named like a secret, in any spelling, and keeps the rest', () => {
    const names = [
      'Authorization',
      'proxy-authorization',
      'access_token',
      'clientSecret',
      'X-Api-Key',
      'apiKey',
      'key_value',
      'keyValue',
      'Set-Cookie',
      'PASSWORD',
      'credentials',
      'privateKey',
      'id_token',
      'jwt',
      'secret_id',
      'api_key_identity',
    ]
    const fields = Object.fromEntries(names.map((name) => [name, 'planted']))
    expect(printable(fields)).toEqual(Object.fromEntries(names.map((name) => [name, '[redacted]'])))
    const kept = {
      key: 'payments-runner',
      key_version: 2,
      api_key_id: 'api-key-1',
      oldApiKeyId: 'api-key-2',
      keys: ['a'],
      operation: 'org.secrets.list',
      has_token: true,
      secret: null,
    }
    expect(printable(kept)).toEqual(kept)
    expect(names.every(isSensitiveName)).toBe(true)
  })

  it('drops values beside a name: pairs and raw header lists', () => {
    expect(printable({ raw: ['Host', 'x', 'Authorization', 'planted', 'Accept', '*/*'] })).toEqual({
      raw: ['Host', 'x', 'Authorization', '[redacted]', 'Accept', '*/*'],
    })
    expect(printable([['cookie', 'planted'], { name: 'x-auth-token', value: 'planted' }])).toEqual([
      ['cookie', '[redacted]'],
      { name: 'x-auth-token', value: '[redacted]' },
    ])
    const permissions = ['ViewOrgSecrets', 'ManageOrgSecrets', 'ViewOrgSessions']
    expect(printable(permissions)).toEqual(permissions)
  })

  it('finds planted secrets at any depth, in strings, names, errors and causes', () => {
    const planted = 'cog_plantedplantedplanted'
    const wrap = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 6 },
        fc.constantFrom(planted, `a ${planted} b`, jwt, `Bearer ${planted}`),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom('a', 'token', 'Authorization', planted, 'cause'), tie('value'), { maxKeys: 3 }),
        tie('value').map((cause) =>
          Object.assign(new Error(`failed with ${planted}`, { cause }), { config: cause, headers: { a: planted } }),
        ),
        tie('value').map((value) => new Map([['x', value]])),
      ),
    }))
    fc.assert(
      fc.property(wrap.value, (value) => {
        const text = JSON.stringify(printable(value))
        expect(text).not.toContain('planted')
        expect(text).not.toContain('c2lnbmF0dXJl')
      }),
    )
  })

  it('reduces an error to name, code, place and cause', () => {
    const cause = Object.assign(new TypeError('inner planted'), { code: 'ERR_INVALID_ARG_VALUE', payload: 'planted' })
    const printed = printable(Object.assign(new Error('outer planted', { cause }), { response: { body: 'planted' } }))
    expect(printed).toEqual({
      name: 'Error',
      at: expect.arrayContaining([expect.stringContaining('mask.test.ts:')]),
      cause: { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE', at: expect.any(Array) },
    })
  })

  it('keeps the message of our own errors only, masked', () => {
    class Own extends Error {
      override readonly name = 'Own'
    }
    expect(printable(new Own('no key cog_planted for x'), [Own])).toMatchObject({
      name: 'Own',
      message: 'no key cog_[masked] for x',
    })
    expect(printable(new Error('planted'), [Own])).not.toHaveProperty('message')
  })

  it('takes nothing that looks like a stack frame from a message', () => {
    const error = new Error('first\n    at planted (/planted.ts:1:1)')
    expect(JSON.stringify(printable(error))).not.toContain('planted')
    error.message = 'replaced'
    expect(printable(error)).toEqual({ name: 'Error' })
  })

  it('survives anything', () => {
    const cycle: Record<string, unknown> = { list: [] }
    cycle['self'] = [cycle]
    const dense: unknown[] = []
    for (let level = 0; level < 20; level += 1) dense.push(...Array.from({ length: 5 }, () => dense.slice()))
    const hostile = {
      get broken(): never {
        throw new Error('planted')
      },
    }
    const proxy = new Proxy(
      {},
      {
        ownKeys: () => ['x'],
        getPrototypeOf: () => {
          throw new Error('planted')
        },
      },
    )
    class Secret {
      readonly value = 'planted'
      toJSON() {
        return this.value
      }
    }
    const printed = printable({
      cycle,
      hostile,
      proxy,
      instance: new Secret(),
      bytes: Buffer.from('planted'),
      map: new Map([['a', 'planted']]),
      big: 12n,
      none: undefined,
      nan: Number.NaN,
      symbol: Symbol('planted'),
      call: () => 'planted',
      date: new Date(0),
      bad: new Date(Number.NaN),
      bare: Object.create(null) as unknown,
      nameless: Object.create({ constructor: null }) as unknown,
      dense,
    })
    const text = JSON.stringify(printed)
    expect(text).not.toContain('planted')
    expect(text.length).toBeLessThan(100_000)
    expect(text).toContain('[too much]')
    expect(JSON.parse(text)).toMatchObject({
      cycle: { list: [], self: ['[circular]'] },
      hostile: '[unreadable]',
      proxy: '[unreadable]',
      instance: '[Secret]',
      bytes: '[Buffer]',
      map: '[Map]',
      big: '12',
      nan: 'NaN',
      symbol: '[symbol]',
      call: '[function]',
      date: '1970-01-01T00:00:00.000Z',
      bad: '[no date]',
      bare: {},
      nameless: '[unreadable]',
    })
  })

  it('bounds long texts and long lists, and says so', () => {
    expect(printable('x'.repeat(5000))).toBe(`${'x'.repeat(4096)}… [904 more]`)
    expect(printable(Array.from({ length: 103 }, (_, index) => index))).toHaveLength(101)
    const wide = Object.fromEntries(Array.from({ length: 103 }, (_, index) => [`m${index}`, index]))
    expect(printable(wide)).toMatchObject({ m99: 99, '[more]': 3 })
    // A secret at the edge is masked before the text is cut.
    expect(printable(`${'x'.repeat(4090)} cog_plantedplanted`)).not.toContain('planted')
  })
})
