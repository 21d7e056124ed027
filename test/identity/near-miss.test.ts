import { describe, expect, it } from 'vitest'
import { spellingDifference } from '../../src/identity/near-miss.ts'

describe('two spellings differ', () => {
  it.each<[string, string, string | null]>([
    ['https://sso.example', 'https://sso.example', null],
    ['https://sso.example/', 'https://sso.example', 'by a final slash'],
    ['https://sso.example', 'https://sso.example/', 'by a final slash'],
    ['HTTPS://SSO.example', 'https://sso.example', 'in letter case'],
    ['https://SSO.example/', 'https://sso.example', 'in letter case and by a final slash'],
    ['http://sso.example', 'https://sso.example', 'in the scheme'],
    ['https://sso.example:443', 'https://sso.example', 'by the default port'],
    ['https://sso.example:443/a', 'https://sso.example/a', 'by the default port'],
    [' https://sso.example', 'https://sso.example', 'by white space'],
    ['/payments', 'payments', 'by a first slash'],
    ['SSO-Payments', 'sso-payments', 'in letter case'],
    ['sso\u00a0payments', 'sso payments', 'in their spelling'],
    ['\uff53so', 'sso', 'in the form of its characters'],
    ['https://sso.example/a', 'https://sso.example', null],
    ['https://sso.example.evil', 'https://sso.example', null],
    ['sso-payment', 'sso-payments', null],
    ['', 'x', null],
  ])('%j and %j: %s', (seen, wanted, difference) => {
    expect(spellingDifference(seen, wanted)).toBe(difference)
  })
})
