import { describe, expect, test } from 'vitest'
import { certificateWarning, parseServerCertificate } from '../../src/config/values/certificates.ts'
import { createAuthority, endingIn, longAgo, someDay } from '../support/certificates.ts'

const authority = createAuthority('a test authority')
const nowMs = Date.parse('2026-06-01T12:00:00Z')
const dayMs = 86_400_000

function faultOf(options: Parameters<typeof authority.issue>[0], key?: string): unknown {
  const issued = authority.issue(options)
  const parsed = parseServerCertificate(issued.cert, key ?? issued.key, nowMs)
  return 'fault' in parsed ? parsed.fault : null
}

describe('a server certificate', () => {
  test.each([
    ['that has ended', { validity: longAgo }, 'cert', /^the certificate ended at 2021-01-01T00:00:00Z: renew it$/],
    ['that ended this second', { validity: endingIn(0, nowMs) }, 'cert', /ended at 2026-06-01T12:00:00Z/],
    [
      'that has not begun',
      { validity: someDay },
      'cert',
      /^the certificate begins at 2049-01-01T00:00:00Z: use one that/,
    ],
    ['for clients', { forClients: true }, 'cert', /not for servers: its extended key usage lacks serverAuth/],
    ['with a key that is too short', { rsaBits: 1024 }, 'cert', /^the TLS library refuses it: ee key too small$/],
  ])('%s is refused', (_name, options, part, message) => {
    expect(faultOf({ name: 'localhost', ...options })).toEqual({
      part,
      message: expect.stringMatching(message) as unknown,
    })
  })

  test('with the key of another is refused', () => {
    expect(faultOf({ name: 'localhost' }, authority.issue({ name: 'localhost' }).key)).toEqual({
      part: 'key',
      message: 'the private key does not belong to the certificate',
    })
  })

  test.each([
    ['of an elliptic curve', {}],
    ['of RSA', { rsaBits: 2048 }],
    ['that ends tomorrow', { validity: endingIn(1, nowMs) }],
  ])('%s is taken', (_name, options) => {
    expect(faultOf({ name: 'localhost', ...options })).toBeNull()
  })

  test('ends with the one in its chain that issued it, and whatever is further up may have ended', () => {
    const issuing = createAuthority('an intermediate', endingIn(3, nowMs))
    const { cert, key } = issuing.issue({ name: 'localhost', validity: endingIn(30, nowMs) })
    const old = createAuthority('an old one', longAgo)
    for (const chain of [
      [cert, issuing.ca, old.ca],
      [cert, old.ca, issuing.ca],
    ])
      expect(parseServerCertificate(chain.join(''), key, nowMs)).toMatchObject({
        certificate: { endsAtMs: nowMs + 3 * dayMs },
      })
    expect(parseServerCertificate(cert + old.ca, key, nowMs)).toMatchObject({
      certificate: { endsAtMs: nowMs + 30 * dayMs },
    })
  })

  test.each([
    [15, null],
    [13.5, 'the certificate ends at 2026-06-15T00:00:00Z, in 13 days: renew it'],
    [1.5, 'the certificate ends at 2026-06-03T00:00:00Z, in a day: renew it'],
    [0.5, 'the certificate ends at 2026-06-02T00:00:00Z, within a day: renew it'],
    [0, 'the certificate ended at 2026-06-01T12:00:00Z: clients refuse the connection until it is renewed'],
  ])('%d days before its end it warns', (days, warning) => {
    expect(certificateWarning({ cert: '', key: '', endsAtMs: nowMs + days * dayMs }, nowMs)).toBe(warning)
  })
})
