// A key's value: what is one, and that it comes out in one way only. What follows does to a secret what the linter
// forbids, because code that the linter never saw may do it.
// oxlint-disable typescript/restrict-template-expressions, typescript/no-misused-spread, typescript/no-unnecessary-type-conversion

import assert from 'node:assert'
import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { format, formatWithOptions, inspect } from 'node:util'
import { serialize } from 'node:v8'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { createContext, runInContext } from 'node:vm'
import * as fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { isKeyValue, Secret } from '../../src/keys/secret.ts'

const origin = 'https://api.corp.example'
const planted = 'cog_Planted0123456789-needle'
const secret = new Secret(planted, origin)

/** Fails when the text holds the value, plainly or in a form somebody could turn back. */
function expectClean(text: string): void {
  for (const needle of [
    planted,
    'needle',
    Buffer.from(planted).toString('base64').slice(0, -4),
    Buffer.from(planted).toString('hex'),
    encodeURIComponent(planted),
  ]) {
    expect(text).not.toContain(needle)
  }
}

function printed(write: (console: Console) => void): string {
  const stream = new PassThrough()
  write(new Console({ stdout: stream, stderr: stream, colorMode: false }))
  const chunk: unknown = stream.read()
  return String(chunk)
}

describe('a secret cannot be printed', () => {
  test('as text', () => {
    for (const text of [
      `${secret}`,
      String(secret),
      secret.toString(),
      '' + String(secret),
      [secret].join(),
      `${[secret]}`,
    ]) {
      expect(text).toBe('[secret]')
    }
    // What plain JavaScript does without asking the type checker.
    expect(Reflect.apply(String.prototype.concat, 'x', [secret])).toBe('x[secret]')
    expect(Number(secret)).toBeNaN()
    expect(Object.prototype.toString.call(secret)).toBe('[object Object]')
    expect(secret.toLocaleString()).toBe('[secret]')
  })

  test('as JSON, alone and inside other things', () => {
    expect(JSON.stringify(secret)).toBe('"[secret]"')
    const around = { a: [{ secret }], map: Object.fromEntries([['k', secret]]), wrapped: { toJSON: () => secret } }
    expect(JSON.stringify(around)).toContain('[secret]')
    expectClean(JSON.stringify(around, null, 2))
    expectClean(JSON.stringify(Object.entries({ ...secret })))
  })

  test('by inspection, however deep, hidden or raw', () => {
    expect(inspect(secret)).toBe('[secret]')
    const deep = { a: { b: { c: { d: { e: [new Map([[secret, new Set([secret])]])] } } } } }
    for (const options of [
      {},
      { depth: null },
      { depth: null, showHidden: true, getters: true, colors: true },
      { depth: null, showHidden: true, customInspect: false, getters: true },
      { depth: null, showProxy: true },
    ]) {
      expectClean(inspect(deep, options))
      expectClean(inspect(new Proxy(secret, {}), options))
      expectClean(inspect(Object.create(secret), options))
    }
    expectClean(format('%s %o %O %j %d %i %f %c', secret, secret, secret, secret, secret, secret, secret, secret))
    expectClean(formatWithOptions({ depth: null }, '%o', deep))
  })

  test('to a console', () => {
    for (const write of [
      (console: Console) => console.log(secret),
      (console: Console) => console.log('%s %o', secret, { secret }),
      (console: Console) => console.dir({ secret }, { depth: null, showHidden: true }),
      (console: Console) => console.table([{ secret }]),
      (console: Console) => console.error(new Error('x', { cause: secret })),
      (console: Console) => console.trace(secret),
    ]) {
      const text = printed(write)
      expect(text).not.toBe('null')
      expectClean(text)
    }
  })

  test('through an error that carries it', () => {
    const error = new Error(`failed with ${secret}`, { cause: { secret } })
    Object.assign(error, { secret })
    expectClean(inspect(error, { depth: null, showHidden: true }))
    expectClean(`${error.stack}`)
    expectClean(JSON.stringify(error, Object.getOwnPropertyNames(error)))
    expectClean(inspect(new AggregateError([error, secret], String(secret)), { depth: null }))
    try {
      assert.deepStrictEqual({ secret }, { secret: 'something else' })
    } catch (difference) {
      expectClean(inspect(difference, { depth: null, showHidden: true }))
    }
  })

  test('by a logger', () => {
    const lines: string[] = []
    const log = pino({}, { write: (line: string) => void lines.push(line) })
    log.info(secret)
    log.info({ secret, nested: { list: [secret] } }, 'with %s and %o and %j', secret, secret, secret)
    log.error({ err: new Error('x', { cause: secret }) })
    expect(lines).toHaveLength(3)
    expectClean(lines.join(''))
  })

  test('by copying it: a clone, a serialisation and a message hold nothing', () => {
    expect(structuredClone(secret)).toEqual({})
    expectClean(inspect(structuredClone({ secret }), { depth: null, showHidden: true }))
    expectClean(serialize({ secret }).toString('latin1'))
    const { port1, port2 } = new MessageChannel()
    port1.postMessage({ secret })
    expectClean(inspect(receiveMessageOnPort(port2), { depth: null, showHidden: true }))
    port1.close()
    expect(Object.assign({}, secret)).toEqual({})
    expect({ ...secret }).toEqual({})
  })

  test('by iterating over it: it has no property that is not a method', () => {
    expect(Reflect.ownKeys(secret)).toEqual([])
    expect(Object.getOwnPropertyDescriptors(secret)).toEqual({})
    const names: string[] = []
    for (const name in secret) names.push(name)
    expect(names).toEqual([])
    for (const key of Reflect.ownKeys(Secret.prototype)) {
      expect(typeof Object.getOwnPropertyDescriptor(Secret.prototype, key)?.value, String(key)).toBe('function')
    }
    for (const method of Object.values(Object.getOwnPropertyDescriptors(Secret.prototype)))
      expectClean(String(method.value))
  })

  test('by a call on something that only looks like it', () => {
    for (const call of [
      () => Reflect.apply(Secret.prototype.reveal, {}, [origin]),
      () => Reflect.apply(Secret.prototype.equals, secret, [{}]),
    ]) {
      expect(call).toThrow(TypeError)
    }
    expect(runInContext('String(secret) + JSON.stringify({ secret })', createContext({ secret, String, JSON }))).toBe(
      '[secret]{"secret":"[secret]"}',
    )
  })
})

describe('a secret is bound to the origin of the upstream', () => {
  test('and is revealed for that one alone, letter by letter', () => {
    expect(secret.reveal(origin)).toBe(planted)
    for (const other of [
      'https://api.corp.example/',
      'https://api.corp.example:443',
      'http://api.corp.example',
      'https://API.corp.example',
      'https://api.corp.example.evil.example',
      'https://evil.example',
      '',
    ]) {
      expect(() => secret.reveal(other), other).toThrow('a key was asked for another origin than it is bound to')
    }
  })

  test('and the refusal holds neither the value nor a trace of it', () => {
    try {
      secret.reveal('https://evil.example')
      expect.unreachable()
    } catch (error) {
      expectClean(inspect(error, { depth: null, showHidden: true }))
    }
  })

  test('so that the same value for another origin is another secret', () => {
    expect(secret.equals(new Secret(planted, origin))).toBe(true)
    expect(secret.equals(new Secret(planted, 'https://other.example'))).toBe(false)
    expect(secret.equals(new Secret(`${planted}x`, origin))).toBe(false)
  })
})

describe('a value is a service-user key', () => {
  test.each(['cog_a', 'cog_0', 'cog_A-z.0_9~+/=', `cog_${'x'.repeat(500)}`])(
    'when it is cog_ and token characters: %s',
    (value) => {
      expect(isKeyValue(value)).toBe(true)
    },
  )

  test.each([
    '',
    'cog_',
    'cog',
    'cog-a',
    'COG_a',
    'apk_user_abc',
    'apk_abc',
    ' cog_a',
    'cog_a ',
    'cog_a\n',
    'cog_a\r\n',
    'cog_a\r\nX-Other: 1',
    'cog_a\u0000',
    'cog_a b',
    'cog_a,b',
    'cog_a"',
    'cog_ä',
    '\uFEFFcog_a',
    'Bearer cog_a',
    'xcog_a',
    'cog_a\ncog_b',
  ])('and nothing else is: %j', (value) => {
    expect(isKeyValue(value)).toBe(false)
  })

  test('and can never break a header field', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 8 }), (text) => {
        const value = `cog_${text}`
        if (isKeyValue(value)) expect(value).toMatch(/^[!-~]+$/)
      }),
      { numRuns: 5000, seed: 21 },
    )
  })
})
