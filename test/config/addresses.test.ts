import { describe, expect, it } from 'vitest'
import { parseIssuer, parseKeySetAddress, parseListen, parseUpstream } from '../../src/config/values/addresses.ts'

describe('an address to listen on', () => {
  const parse = parseListen('127.0.0.1')

  it.each([
    ['0.0.0.0:8080', '0.0.0.0', 8080],
    ['[::1]:8080', '::1', 8080],
    ['[::]:8080', '::', 8080],
    ['localhost:0', 'localhost', 0],
    ['gateway-1.corp.example:443', 'gateway-1.corp.example', 443],
    ['9090', '127.0.0.1', 9090],
    ['0', '127.0.0.1', 0],
  ])('%s is host %s and port %i', (text, host, port) => {
    expect(parse(text)).toEqual({ value: { host, port } })
  })

  it.each([
    '',
    'localhost',
    'localhost:',
    '::1:8080',
    '[::1]',
    '[::1%eth0]:1',
    'a b:1',
    '1.5',
    '-1',
    '123456',
    '/run/x.sock',
  ])('is refused when it reads %j', (text) => {
    expect(parse(text)).toEqual({
      error: `${JSON.stringify(text)} is not an address to listen on: write host:port like 0.0.0.0:8080, "[::1]:8080" (in quotes), or a port alone`,
    })
  })

  it.each([
    [':8080', '8080'],
    ['http://localhost:8080', 'localhost:8080'],
    ['https://0.0.0.0:8443/', '0.0.0.0:8443'],
  ])('is refused when it reads %j, with what is meant', (text, meant) => {
    expect(parse(text)).toMatchObject({ error: expect.stringMatching(`a port alone; did you mean "${meant}"\\?$`) })
  })

  it('is refused beyond the last port', () => {
    expect(parse('localhost:65536')).toEqual({ error: 'port 65536 does not exist: ports end at 65535' })
  })
})

describe('the upstream', () => {
  it.each([
    ['https://api.corp.example', 'https://api.corp.example', ''],
    ['https://api.corp.example/', 'https://api.corp.example', ''],
    ['https://API.corp.example:443/devin', 'https://api.corp.example', '/devin'],
    ['https://api.corp.example:8443/a/b-c_d.e~f/', 'https://api.corp.example:8443', '/a/b-c_d.e~f'],
    ['http://localhost:4010', 'http://localhost:4010', ''],
    ['http://127.0.0.1:4010/x', 'http://127.0.0.1:4010', '/x'],
    ['http://127.9.9.9', 'http://127.9.9.9', ''],
    ['http://[::1]:4010', 'http://[::1]:4010', ''],
    ['https://[2001:db8::1]', 'https://[2001:db8::1]', ''],
  ])('%s has origin %s and prefix %j', (text, origin, pathPrefix) => {
    expect(parseUpstream(text)).toEqual({ value: { origin, pathPrefix } })
  })

  it.each([
    ['https://api.corp.example/v3', '/v3'],
    ['https://api.corp.example/devin/v3/', '/v3'],
    ['https://api.corp.example/v3beta1', '/v3beta1'],
    ['https://api.corp.example/v1', '/v1'],
    ['https://api.corp.example/v3/organizations/org-a', '/v3/organizations/org-a'],
  ])('%s is refused: the paths of callers begin with the version', (text, version) => {
    expect(parseUpstream(text)).toEqual({
      error: `"${text}" must end before "${version}": callers send the version of the API as part of the path, and it would stand there twice`,
    })
  })

  const notAbsolute = (text: string) =>
    `${JSON.stringify(text)} is not an absolute URL: write one like https://api.your-company.devinenterprise.com`
  const notSecure = (text: string) =>
    `${JSON.stringify(text)} must begin with https://: plain http is accepted only to loopback (localhost, 127.0.0.1, [::1])`
  const notPlain = (text: string) =>
    `the path of ${JSON.stringify(text)} must be plain segments of letters, digits, ".", "_", "~" and "-"`

  it.each([
    ['', notAbsolute('')],
    ['api.corp.example', notAbsolute('api.corp.example')],
    ['//api.corp.example', notAbsolute('//api.corp.example')],
    ['https:api.corp.example', notAbsolute('https:api.corp.example')],
    ['https:///api.corp.example', notAbsolute('https:///api.corp.example')],
    ['https://api.corp.example\\x', notAbsolute('https://api.corp.example\\x')],
    ['https://api.corp.example /x', notAbsolute('https://api.corp.example /x')],
    ['https://api.corp.example:99999', notAbsolute('https://api.corp.example:99999')],
    ['ftp://api.corp.example', '"ftp://api.corp.example" must begin with https://'],
    ['http://api.corp.example', notSecure('http://api.corp.example')],
    ['http://localhost.corp.example', notSecure('http://localhost.corp.example')],
    ['http://127.0.0.1.corp.example', notSecure('http://127.0.0.1.corp.example')],
    ['http://0.0.0.0:4010', notSecure('http://0.0.0.0:4010')],
    ['https://user:hunter2@api.corp.example', 'a URL must not hold user information (what stands before "@")'],
    ['https://@api.corp.example', 'a URL must not hold user information (what stands before "@")'],
    ['https://api.corp.example?x=1', '"https://api.corp.example?x=1" must not have a query or a fragment'],
    ['https://api.corp.example/#x', '"https://api.corp.example/#x" must not have a query or a fragment'],
    ['https://api.corp.example/a/../b', notPlain('https://api.corp.example/a/../b')],
    ['https://api.corp.example/./a', notPlain('https://api.corp.example/./a')],
    ['https://api.corp.example/a//b', notPlain('https://api.corp.example/a//b')],
    ['https://api.corp.example/a//', notPlain('https://api.corp.example/a//')],
    ['https://api.corp.example/%2e%2e', notPlain('https://api.corp.example/%2e%2e')],
    ['https://api.corp.example/a;b', notPlain('https://api.corp.example/a;b')],
  ])('%j is refused', (text, error) => {
    expect(parseUpstream(text)).toEqual({ error })
  })
})

describe('an issuer', () => {
  it.each([
    'https://sso.corp.example',
    'https://SSO.corp.example/realms/x/',
    'http://localhost:4020',
    'https://sso.corp.example:443',
  ])('%s is kept character by character', (text) => {
    expect(parseIssuer(text)).toEqual({ value: text })
  })

  it.each([
    ['sso.corp.example', '"sso.corp.example" is not an absolute URL: write one like https://sso.corp.example'],
    [
      'http://sso.corp.example',
      '"http://sso.corp.example" must begin with https://: plain http is accepted only to loopback (localhost, 127.0.0.1, [::1])',
    ],
    ['https://sso.corp.example?tenant=1', '"https://sso.corp.example?tenant=1" must not have a query or a fragment'],
  ])('%s is refused', (text, error) => {
    expect(parseIssuer(text)).toEqual({ error })
  })
})

describe("the address of an issuer's keys", () => {
  it('may have a query, because some identity providers name the application there', () => {
    expect(parseKeySetAddress('https://sso.corp.example/keys?appid=1')).toEqual({
      value: 'https://sso.corp.example/keys?appid=1',
    })
  })

  it.each([
    [
      'http://sso.corp.example/jwks',
      '"http://sso.corp.example/jwks" must begin with https://: plain http is accepted only to loopback (localhost, 127.0.0.1, [::1])',
    ],
    ['https://sso.corp.example/jwks#a', '"https://sso.corp.example/jwks#a" must not have a fragment'],
    ['https://a:b@sso.corp.example/jwks', 'a URL must not hold user information (what stands before "@")'],
  ])('%s is refused', (text, error) => {
    expect(parseKeySetAddress(text)).toEqual({ error })
  })
})
