import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { claimAt } from '../../src/identity/claim-path.ts'
import { principalOf } from '../../src/identity/claims.ts'
import { outcomeOf, problemOf, settingsOf } from './support.ts'

const issuer = 'https://sso.corp.example'
const nowS = 1_700_000_000
const settings = settingsOf(issuer, {
  audience: ['devin-gateway', 'other-name'],
  claims: { subject: 'sub', email: 'email', groups: 'https://corp.example/groups', app: 'client.id' },
})
const good = { iss: issuer, sub: 'ann', aud: 'devin-gateway', iat: nowS - 10, exp: nowS + 300 }

const read = (changes: object, nowMs = nowS * 1000) => principalOf({ ...good, ...changes }, settings, nowMs)
const outcome = (changes: object, nowMs?: number) => outcomeOf(() => read(changes, nowMs))

describe('the principal', () => {
  it('has subject, email, groups and app from the mapped claims', () => {
    const claims = { email: 'ann@corp.example', 'https://corp.example/groups': ['a', 'b'], client: { id: 'ci' } }
    expect(read(claims)).toEqual({
      subject: 'ann',
      issuer,
      email: 'ann@corp.example',
      emailVerified: true,
      groups: ['a', 'b'],
      groupsOmitted: false,
      app: 'ci',
      actor: null,
      priorActors: [],
      claims: { ...good, ...claims },
      expiresAtMs: (nowS + 300) * 1000,
    })
  })

  it('needs no email, groups or app', () => {
    const { email, groups, app } = read({})
    expect({ email, groups, app }).toEqual({ email: null, groups: [], app: null })
  })

  it.each<[unknown, boolean, boolean]>([
    [true, true, true],
    ['true', true, true],
    [undefined, true, false],
    ...[false, 'false', 'False', 'TRUE', ' true', 'yes', '', 0, 1, null, [], [true], {}, { value: true }].map(
      (value): [unknown, boolean, boolean] => [value, false, false],
    ),
  ])('has an address that counts beside email_verified: %j: optional %j, required %j', (value, optional, required) => {
    const verified = (emailVerified: 'optional' | 'required', email: string, claims: object): boolean => {
      const mapping = { ...settings.claims, email }
      return principalOf({ ...good, ...claims }, { ...settings, emailVerified, claims: mapping }, nowS * 1000)
        .emailVerified
    }
    const address = 'ann@corp.example'
    for (const [email, claims] of [
      ['email', { email: address, email_verified: value }],
      ['profile.email', { profile: { email: address, email_verified: value } }],
      [
        'https://corp.example/email',
        { 'https://corp.example/email': address, 'https://corp.example/email_verified': value },
      ],
      ['upn', { upn: address, email_verified: value }],
    ] as const) {
      expect([email, verified('optional', email, claims)]).toEqual([email, optional])
      expect([email, verified('required', email, claims)]).toEqual([email, required])
    }
  })

  it('has no address that counts where one of two claims about it disowns it', () => {
    const mapped = { ...settings, claims: { ...settings.claims, email: 'profile.email' } }
    const claims = { email_verified: true, profile: { email: 'a@corp.example', email_verified: 'no' } }
    expect(principalOf({ ...good, ...claims }, mapped, nowS * 1000).emailVerified).toBe(false)
  })

  it('takes one string as one group', () => {
    expect(read({ 'https://corp.example/groups': 'one group' }).groups).toEqual(['one group'])
  })

  it.each([
    ['null', { email: null, 'https://corp.example/groups': null, client: { id: null } }],
    ['empty strings', { email: '', 'https://corp.example/groups': '', client: { id: '' } }],
    ['an empty list', { 'https://corp.example/groups': [''] }],
  ])('reads %s as absent', (_, claims) => {
    const { email, groups, app } = read(claims)
    expect({ email, groups, app }).toEqual({ email: null, groups: [], app: null })
  })

  it('cannot be changed by those who share it', () => {
    const principal = read({ 'https://corp.example/groups': ['a'] })
    expect(Object.isFrozen(principal) && Object.isFrozen(principal.groups)).toBe(true)
  })

  it.each([
    ['a list for the app', { client: { id: ['ci'] } }],
    ['a number for the app', { client: { id: 7 } }],
    ['a number for the email', { email: 7 }],
    ['an object for the groups', { 'https://corp.example/groups': { a: true } }],
    ['a number among the groups', { 'https://corp.example/groups': ['a', 7] }],
    ['a list in the groups', { 'https://corp.example/groups': [['a']] }],
  ])('is refused for %s', async (_, claims) => {
    expect(await outcome(claims)).toBe('identity-incomplete/claim-shape')
  })

  it('is refused when the mapped subject says nothing, with the name of the claim in the text', async () => {
    const mapped = { ...settings, claims: { ...settings.claims, subject: 'employee.number' } }
    const subject = (claims: object) => problemOf(() => principalOf({ ...good, ...claims }, mapped, nowS * 1000))
    expect((await subject({}))?.kind).toBe('identity-incomplete')
    expect((await subject({}))?.message).toContain('`employee.number`')
    expect((await subject({ employee: { number: '' } }))?.reason).toBe('subject-missing')
    expect((await subject({ employee: { number: 12 } }))?.reason).toBe('claim-shape')
    expect(await subject({ employee: { number: '12' } })).toBe(null)
  })
})

describe('groups that are too many for a token', () => {
  const omitted = (path: string, claims: object): boolean => {
    const mapped = { ...settings, claims: { ...settings.claims, groups: path } }
    return principalOf({ ...good, ...claims }, mapped, nowS * 1000).groupsOmitted
  }

  it.each<[string, string, object]>([
    ['a distributed claim', 'groups', { _claim_names: { groups: 'src1' }, _claim_sources: { src1: {} } }],
    ['a distributed claim of another name', 'roles', { _claim_names: { roles: 'src1' } }],
    [
      'a distributed claim with dots in its name',
      'https://corp\\.example/groups',
      { _claim_names: { 'https://corp.example/groups': 's' } },
    ],
    ['the mark of Entra ID', 'groups', { hasgroups: true }],
    ['the mark beside an empty list', 'groups', { hasgroups: true, groups: [] }],
  ])('are known to be left out by %s', (_, path, claims) => {
    expect(omitted(path, claims)).toBe(true)
  })

  it.each<[string, string, object]>([
    ['nothing', 'groups', {}],
    ['groups that are there', 'groups', { groups: ['a'], _claim_names: { groups: 'src1' }, hasgroups: true }],
    ['another claim that stands elsewhere', 'groups', { _claim_names: { roles: 'src1' } }],
    ['a mark of groups where roles count', 'roles', { hasgroups: true }],
    ['a mark that is false', 'groups', { hasgroups: false }],
    ['names of another shape', 'groups', { _claim_names: ['groups'] }],
    ['inherited names', 'toString', { _claim_names: {} }],
  ])('are not to be seen in %s', (_, path, claims) => {
    expect(omitted(path, claims)).toBe(false)
  })
})

describe('who acts for the subject', () => {
  const actors = (act: unknown): readonly (string | null)[] => {
    const { actor, priorActors } = read({ act })
    return [actor, ...priorActors]
  }
  const chain = (names: readonly string[]): unknown =>
    names.reduceRight<unknown>((act, sub) => ({ sub, ...(act === undefined ? {} : { act }) }), undefined)

  it.each<[string, unknown, readonly (string | null)[]]>([
    ['nobody', undefined, [null]],
    ['null', null, [null]],
    ['one', { sub: 'agent', iss: 'https://agents.example', client_id: 'x' }, ['agent']],
    ['one before another', { sub: 'agent', act: { sub: 'planner' } }, ['agent', 'planner']],
    ['the end of a chain', { sub: 'agent', act: null }, ['agent']],
  ])('is read from `act`: %s', (_, act, expected) => {
    expect(actors(act)).toEqual(expected)
  })

  it('is bounded for records: eight of a chain, each cut but the first, which conditions compare', () => {
    const names = Array.from({ length: 300 }, (_, n) => `${n}-${'x'.repeat(300)}`)
    const [first, second, ...others] = actors(chain(names))
    expect(first).toBe(names[0])
    expect(second).toBe(`1-${'x'.repeat(254)}…`)
    expect([others.length, others.at(-1)]).toEqual([7, '…'])
    expect(actors(chain(names.slice(0, 8))).at(-1)).toMatch(/^7-/)
  })

  it.each<[string, unknown]>([
    ['a text', 'agent'],
    ['a list', [{ sub: 'agent' }]],
    ['an object without `sub`', { client_id: 'agent' }],
    ['an empty `sub`', { sub: '' }],
    ['a number as `sub`', { sub: 7 }],
    ['an actor before it without a name', { sub: 'agent', act: {} }],
  ])('must have a name: %s is refused', async (_, act) => {
    const problem = await problemOf(() => read({ act }))
    expect([problem?.kind, problem?.reason]).toEqual(['identity-incomplete', 'claim-shape'])
    expect(problem?.message).toContain('`act`')
  })

  it('is not who may act', () => {
    expect(read({ may_act: { sub: 'agent' } }).actor).toBeNull()
  })
})

describe('a verified token', () => {
  it.each([
    ['another issuer', { iss: 'https://sso.corp.example/' }, 'issuer-unknown'],
    ['no audience', { aud: undefined }, 'claim-missing'],
    ['another audience', { aud: 'somebody' }, 'audience-mismatch'],
    ['an audience that begins like ours', { aud: 'devin-gateway-2' }, 'audience-mismatch'],
    ['other audiences', { aud: ['x', 'y'] }, 'audience-mismatch'],
    ['no audience in the list', { aud: [] }, 'audience-mismatch'],
    ['an audience inside another list', { aud: [['devin-gateway']] }, 'audience-mismatch'],
    ['no subject', { sub: undefined }, 'claim-missing'],
    ['an object as subject', { sub: { toString: 'ann' } }, 'malformed'],
    ['an empty subject', { sub: '' }, 'malformed'],
    ['no end', { exp: undefined }, 'claim-missing'],
    ['an end in words', { exp: '1700000300' }, 'malformed'],
    ['an endless end', { exp: Infinity }, 'malformed'],
    ['no beginning', { iat: undefined }, 'claim-missing'],
    ['null for a beginning', { iat: null }, 'malformed'],
    ['ten years to live', { exp: nowS + 10 * 365 * 86_400 }, 'lifetime-too-long'],
    ['ten years behind it', { iat: nowS - 10 * 365 * 86_400 }, 'lifetime-too-long'],
    ['a beginning in the future', { iat: nowS + 100 }, 'not-yet-valid'],
    ['a later validity', { nbf: nowS + 100 }, 'not-yet-valid'],
    ['a validity in words', { nbf: 'now' }, 'malformed'],
    ['a confirmation key', { cnf: { jkt: 'x' } }, 'confirmation-unsupported'],
    ['no confirmation key but the claim', { cnf: null }, 'confirmation-unsupported'],
    ['a logout event', { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, 'token-type'],
  ])('with %s is rejected', async (_, changes, reason) => {
    expect(await outcome(changes)).toBe(`token-rejected/${reason}`)
  })

  it('may name several audiences, and any of ours will do', async () => {
    expect(await outcome({ aud: ['x', 'other-name'] })).toBe('accepted')
  })

  it.each([
    ['exp', 329.999, 'accepted'],
    ['exp', 330, 'token-expired/token-expired'],
  ])('ends with the clock tolerance after `%s`: %d s later it is %s', async (_, laterS, expected) => {
    expect(await outcome({}, (nowS + laterS) * 1000)).toBe(expected)
  })

  it.each([
    ['iat', 30, 'accepted'],
    ['iat', 31, 'token-rejected/not-yet-valid'],
    ['nbf', 30, 'accepted'],
    ['nbf', 31, 'token-rejected/not-yet-valid'],
  ])('begins with the clock tolerance before `%s`: %d s ahead it is %s', async (name, aheadS, expected) => {
    expect(await outcome({ [name]: nowS + aheadS })).toBe(expected)
  })

  it('may live exactly as long as the maximum', async () => {
    expect(await outcome({ iat: nowS, exp: nowS + 86_400 })).toBe('accepted')
    expect(await outcome({ iat: nowS, exp: nowS + 86_401 })).toBe('token-rejected/lifetime-too-long')
  })

  it('that is meant for somebody else says so rather than that it has expired', async () => {
    expect(await outcome({ aud: 'x', exp: nowS - 1000, iat: nowS - 2000 })).toBe('token-rejected/audience-mismatch')
  })
})

describe('a claim at a dotted path', () => {
  it.each([
    ['a', { a: 1 }, 1],
    ['a.b', { a: { b: 1 } }, 1],
    ['a.b', { 'a.b': 2, a: { b: 1 } }, 2],
    ['https://corp.example/groups', { 'https://corp.example/groups': 3 }, 3],
    ['https://corp.example/app.roles', { 'https://corp.example/app': { roles: 4 } }, 4],
    ['resource_access.gate.way.roles', { resource_access: { 'gate.way': { roles: 5 } } }, 5],
    ['a.b.c', { 'a.b': {}, a: { b: { c: 6 } } }, 6],
    ['a.b', { a: [{ b: 1 }] }, undefined],
    ['a.0', { a: ['x'] }, undefined],
    ['a.length', { a: 'text' }, undefined],
    ['a.b', { a: null }, undefined],
    ['a.', { a: 1 }, undefined],
    ['.a', { a: 1 }, undefined],
    ['toString', {}, undefined],
    ['__proto__.toString', {}, undefined],
    ['constructor.name', {}, undefined],
    ['kubernetes.io.pod.name', { 'kubernetes.io': { pod: { name: 7 } } }, 7],
    ['kubernetes\\.io.pod.name', { 'kubernetes.io': { pod: { name: 8 } } }, 8],
    ['kubernetes\\.io.pod', { 'kubernetes.io.pod': 1, 'kubernetes.io': { pod: 9 } }, 9],
    ['kubernetes\\.io.pod', { kubernetes: { 'io.pod': 1, io: { pod: 1 } }, 'kubernetes.io.pod': 1 }, undefined],
    ['a\\.b', { 'a.b': 10, a: { b: 1 } }, 10],
    ['a\\.b', { a: { b: 1 } }, undefined],
    ['a\\\\b.c', { 'a\\b': { c: 11 } }, 11],
    ['a\\.b.toString', { 'a.b': {} }, undefined],
    ['a\\.b.0', { 'a.b': ['x'] }, undefined],
  ])('%s of %j is %j', (path, claims, value) => {
    expect(claimAt(claims, path)).toBe(value)
  })

  it('finds every value by the names that lead to it, whatever the names hold', () => {
    const name = fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom('a', 'b', '/', ':', 'é') })
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), fc.string(), (names, value) => {
        const claims = names.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value)
        // The first step of reduceRight already made an object.
        expect(claimAt(claims as Record<string, unknown>, names.join('.'))).toBe(value)
      }),
    )
  })
})
