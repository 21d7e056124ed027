// Content codings: what is asked of an upstream, what can be undone, and compressed answers searched for keys.

import type { Transform } from 'node:stream'
import { setImmediate, setTimeout } from 'node:timers/promises'
import * as zlib from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Inspector, type InspectedHead, type InspectionLimits } from '../../src/gateway/responses/compressed-answer.ts'
import { decodersFor, type Decoder } from '../../src/http/content-coding.ts'
import { acceptedCodings } from '../../src/http/accept-encoding.ts'
import { createLeakGuard, type LeakGuard } from '../../src/gateway/responses/leak-guard.ts'

const key = 'cog_0123456789abcdefghij'
const masked = `cog_${'*'.repeat(key.length - 4)}`

const encoders: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => zlib.gzipSync(bytes),
  deflate: (bytes) => zlib.deflateSync(bytes),
  'deflate without wrapper': (bytes) => zlib.deflateRawSync(bytes),
  br: (bytes) => zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
  'gzip, br': (bytes) => encode('br', encode('gzip', bytes)),
  'deflate, gzip': (bytes) => encode('gzip', encode('deflate without wrapper', bytes)),
}
const spellings = Object.keys(encoders)

function encode(spelling: string, bytes: Buffer): Buffer {
  const encoder = encoders[spelling]
  if (encoder === undefined) throw new Error(spelling)
  return encoder(bytes)
}

function decoders(spelling: string): readonly Decoder[] {
  const found = decodersFor(spelling.replace(' without wrapper', ''))
  if (found === null) throw new Error(spelling)
  return found
}

function guardOf(...values: readonly string[]): LeakGuard {
  const guard = createLeakGuard()
  for (const value of values) guard.protect(value)
  return guard
}

/** A caller: what it got, in which order, and whether it takes more. */
class Caller {
  readonly inspector: Inspector
  readonly events: string[] = []
  readonly flow: boolean[] = []
  readonly over = Promise.withResolvers<void>()
  head: InspectedHead | null = null
  body: Buffer[] = []
  size = 0
  found: number | null = null
  error: Error | null = null
  takes = true

  constructor(spelling: string, limits?: InspectionLimits, guard = guardOf(key)) {
    const receiver = {
      onHead: (head: InspectedHead) => {
        this.events.push('head')
        this.head = head
      },
      onData: (chunk: Buffer) => {
        if (this.events.at(-1) !== 'data') this.events.push('data')
        this.size += chunk.length
        this.body.push(chunk)
        return this.takes
      },
      onEnd: (found: number) => {
        this.events.push('end')
        this.found = found
        this.over.resolve()
      },
      onError: (error: Error) => {
        this.events.push('error')
        this.error = error
        this.over.resolve()
      },
      onFlow: (more: boolean) => {
        this.flow.push(more)
      },
    }
    this.inspector = new Inspector(guard, decoders(spelling), receiver, limits)
  }

  async receive(chunks: readonly Buffer[]): Promise<this> {
    for (const chunk of chunks) {
      this.inspector.push(chunk)
      if (this.flow.at(-1) === false) await until(() => this.flow.at(-1) === true || this.error !== null)
    }
    this.inspector.end()
    await this.over.promise
    return this
  }

  get bytes(): Buffer {
    return Buffer.concat(this.body)
  }
}

/** Resolves when it holds; the test's time limit is the only clock. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(1)
}

function slices(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

/** Letters that hardly compress, the same in every run. */
const noise = Buffer.alloc(3_000_000)
for (let at = 0, state = 1; at < noise.length; at += 1) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
  noise[at] = 0x61 + ((state >>> 16) % 26)
}

/** Kept for the whole run, so that its collection does not hide what decoding holds. */
const zeros = Buffer.alloc(16 * 1024 * 1024)

describe('what is asked of the upstream', () => {
  test.each([
    [undefined, 'identity'],
    ['', 'identity'],
    [' , ', 'identity'],
    ['identity', 'identity'],
    ['gzip, deflate', 'gzip, deflate'],
    ['gzip, deflate, br, zstd', 'gzip, deflate, br, zstd'],
    ['GZip;Q=0.5 ,x-gzip; q=1.000, identity;q=0', 'GZip;Q=0.5 ,x-gzip; q=1.000, identity;q=0'],
    ['compress', 'identity'],
    ['compress, gzip;q=0.8, dcb, br;q=0.1', 'gzip;q=0.8, br;q=0.1'],
    ['x-compress, identity;q=0', 'identity;q=0'],
    ['*', 'gzip, deflate, br, zstd, identity'],
    ['br;q=0.9, *;q=0.1', 'br;q=0.9, gzip;q=0.1, deflate;q=0.1, zstd;q=0.1, identity;q=0.1'],
    ['gzip, *;q=0', 'gzip, deflate;q=0, br;q=0, zstd;q=0, identity;q=0'],
    ['x-gzip;q=0, *', 'x-gzip;q=0, deflate, br, zstd, identity'],
    ['gzip;q=2, br', 'br'],
    ['gzip;q=0.1234, br', 'br'],
    ['gzip;level=9, br', 'br'],
    ['gz ip, br', 'br'],
    ['zstd;q=0.5;q=1', 'identity'],
  ])('for %j it is %j', (field, expected) => {
    expect(acceptedCodings(field)).toBe(expected)
    expect(acceptedCodings(field)).toBe(expected)
  })

  test('every coding named in the answer can be undone, whatever was asked for', () => {
    const name = fc.constantFrom(
      'gzip',
      'br',
      'zstd',
      'deflate',
      'identity',
      'x-gzip',
      'compress',
      'dcz',
      '*',
      'GZIP',
      '',
    )
    const weight = fc.constantFrom('', ';q=0', ';q=0.5', ' ; q=1', ';q=x')
    const field = fc
      .array(
        fc.tuple(name, weight).map((parts) => parts.join('')),
        { maxLength: 8 },
      )
      .map((members) => members.join(','))
    fc.assert(
      fc.property(field, (text) => {
        for (const member of acceptedCodings(text).split(','))
          expect(decodersFor(member.split(';')[0] ?? '')).not.toBeNull()
      }),
      { numRuns: 1000 },
    )
  })
})

describe('which codings can be undone', () => {
  test.each([
    ['', 0],
    ['identity', 0],
    [' Identity , ', 0],
    ['gzip', 1],
    ['X-GZIP', 1],
    ['identity, br', 1],
    ['deflate, gzip', 2],
    ['zstd,zstd', 2],
    ['gzip, gzip, gzip', null],
    ['compress', null],
    ['gzip, compress', null],
    ['aes128gcm', null],
    ['gzip;q=1', null],
    ['__proto__', null],
  ])('%j: %s', (field, layers) => {
    expect(decodersFor(field)?.length ?? null).toBe(layers)
  })
})

test('x-gzip is another name of gzip', () => {
  expect(decodersFor('x-gzip')).toEqual(decodersFor('gzip'))
})

describe.each(spellings)('an answer in %s', (spelling) => {
  const clean = Buffer.from(
    JSON.stringify({ items: Array.from({ length: 50 }, (_, id) => ({ id, name: `cog_session-${id}` })) }),
  )
  const leaking = Buffer.from(JSON.stringify({ echo: `Bearer ${key}`, again: key, items: [1, 2] }))
  const small: InspectionLimits = { maxBufferedBytes: 16, maxDecodedBytes: 1024 }

  test('without a key goes on in its original bytes', async () => {
    const original = encode(spelling, clean)
    const caller = await new Caller(spelling).receive(slices(original, 7))
    expect(caller.events).toEqual(['head', 'data', 'end'])
    expect(caller.head).toEqual({ identity: false, length: original.length })
    expect(caller.bytes).toEqual(original)
    expect(caller.found).toBe(0)
  })

  test('with a key goes on masked and without coding', async () => {
    const caller = await new Caller(spelling).receive(slices(encode(spelling, leaking), 11))
    expect(caller.events).toEqual(['head', 'data', 'end'])
    expect(caller.head).toEqual({ identity: true, length: leaking.length })
    expect(JSON.parse(caller.bytes.toString())).toEqual({ echo: `Bearer ${masked}`, again: masked, items: [1, 2] })
    expect([caller.found, caller.inspector.found]).toEqual([2, 2])
  })

  test('that is decoded on the thread pool is judged the same', async () => {
    const body = Buffer.concat([Buffer.alloc(300_000, 'a'), Buffer.from(key)])
    const caught = await new Caller(spelling).receive([encode(spelling, body)])
    expect(caught.head).toEqual({ identity: true, length: body.length })
    expect(caught.bytes.subarray(-key.length).toString()).toBe(masked)
    const original = encode(spelling, Buffer.alloc(300_000, 'a'))
    const passed = await new Caller(spelling).receive([original])
    expect(passed.head).toEqual({ identity: false, length: original.length })
    expect(passed.bytes).toEqual(original)
  })

  test('larger than what is held is decoded, masked and handed on as it comes', async () => {
    const body = Buffer.concat([
      Buffer.from(key),
      noise,
      Buffer.from(`${key}${key}`),
      noise.subarray(0, 1000),
      Buffer.from(key),
    ])
    const caller = await new Caller(spelling).receive(slices(encode(spelling, body), 65_536))
    expect(caller.events).toEqual(['head', 'data', 'end'])
    expect(caller.head).toEqual({ identity: true, length: null })
    expect(caller.bytes.equals(guardOf(key).maskBuffer(body))).toBe(true)
    expect([caller.found, caller.inspector.found]).toEqual([4, 4])
  })

  test('small, yet too large when decoded, is handed on as it comes', async () => {
    const body = Buffer.concat([Buffer.alloc(9_000_000), Buffer.from(key)])
    const caller = await new Caller(spelling).receive([encode(spelling, body)])
    expect(caller.head).toEqual({ identity: true, length: null })
    expect(caller.bytes.equals(guardOf(key).maskBuffer(body))).toBe(true)
  })

  test('the limit of decoded bytes holds for the smallest answers too', async () => {
    const caller = await new Caller(spelling, { maxBufferedBytes: 10_000, maxDecodedBytes: 100 }).receive([
      encode(spelling, clean),
    ])
    expect(caller.head).toEqual({ identity: true, length: null })
    expect(caller.bytes).toEqual(clean)
  })

  test('a stream comes out whole however it is cut', async () => {
    const original = encode(spelling, leaking)
    for (const size of [1, 2, 3, original.length]) {
      const caller = await new Caller(spelling, small).receive(slices(original, size))
      expect(caller.head).toEqual({ identity: true, length: null })
      expect(caller.bytes.toString()).toBe(leaking.toString().replaceAll(key, masked))
    }
  })

  test('cut short is an error, before any byte when it was held', async () => {
    const original = encode(spelling, clean)
    for (const length of [1, original.length >> 1, original.length - 1]) {
      const held = await new Caller(spelling).receive([original.subarray(0, length)])
      expect(held.events).toEqual(['error'])
      const streamed = await new Caller(spelling, small).receive(slices(original.subarray(0, length), 5))
      expect(streamed.events.at(-1)).toBe('error')
    }
  })

  test('with something behind it is an error, in the same chunk or the next', async () => {
    const original = encode(spelling, clean)
    const more = Buffer.from(`x${key}`)
    for (const chunks of [[Buffer.concat([original, more])], [original, more]]) {
      expect((await new Caller(spelling).receive(chunks)).events).toEqual(['error'])
      const streamed = await new Caller(spelling, small).receive(chunks)
      expect(streamed.events.at(-1)).toBe('error')
      expect(streamed.bytes.includes(key)).toBe(false)
    }
  })

  test('that is no such coding at all is an error before any byte, even when it is large', async () => {
    const wrong = Buffer.alloc(2_000_000, 0xff)
    const caller = await new Caller(spelling).receive(slices(wrong, 65_536))
    expect(caller.events).toEqual(['error'])
    expect((await new Caller(spelling).receive([Buffer.from(leaking)])).events).toEqual(['error'])
  })

  test('without a byte goes on without a byte', async () => {
    const caller = await new Caller(spelling).receive([])
    expect(caller.events).toEqual(['head', 'end'])
    expect(caller.head).toEqual({ identity: false, length: 0 })
  })

  test('of which nothing is left when decoded ends properly, held or not', async () => {
    const original = encode(spelling, Buffer.alloc(0))
    expect((await new Caller(spelling).receive([original])).bytes).toEqual(original)
    const streamed = await new Caller(spelling, { maxBufferedBytes: 0, maxDecodedBytes: 1024 }).receive([original])
    expect(streamed.events).toEqual(['head', 'end'])
    expect(streamed.head).toEqual({ identity: true, length: null })
  })

  test('that decompresses without end is decoded no faster than the caller takes it', async () => {
    const chunks = slices(encode(spelling, zeros), 16_384)
    const caller = new Caller(spelling)
    caller.takes = false
    const memory = process.memoryUsage().arrayBuffers
    for (const chunk of chunks) caller.inspector.push(chunk)
    caller.inspector.end()
    for (let takes = 0; takes < 20; takes += 1) {
      const before = caller.size
      await until(() => caller.size > before)
      caller.inspector.resume()
    }
    await setTimeout(20)
    expect(caller.size).toBeLessThan(4 * 1024 * 1024)
    expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(12 * 1024 * 1024)
    caller.takes = true
    caller.inspector.resume()
    await caller.over.promise
    expect(caller.events).toEqual(['head', 'data', 'end'])
    expect(caller.bytes.equals(zeros)).toBe(true)
  })

  test('pauses the upstream while the caller is behind, and lets it go on after', async () => {
    const chunks = slices(encode(spelling, noise), 65_536)
    const caller = new Caller(spelling)
    caller.takes = false
    let pushed = 0
    for (const chunk of chunks) {
      caller.inspector.push(chunk)
      pushed += 1
      if (caller.flow.at(-1) === false) break
    }
    expect(pushed).toBeLessThan(chunks.length)
    await until(() => caller.size > 0)
    expect(caller.flow).not.toContain(true)
    caller.takes = true
    caller.inspector.resume()
    await until(() => caller.flow.at(-1) === true)
    await caller.receive(chunks.slice(pushed))
    expect(caller.bytes.equals(noise)).toBe(true)
  })

  test('is let go at once when the caller leaves', async () => {
    const large = slices(encode(spelling, noise), 65_536)
    const pooled = [encode(spelling, Buffer.alloc(400_000))]
    for (const chunks of [large, pooled]) {
      const caller = new Caller(spelling)
      for (const chunk of chunks) caller.inspector.push(chunk)
      caller.inspector.end()
      caller.inspector.abort()
      caller.inspector.push(Buffer.from('more'))
      caller.inspector.end()
      caller.inspector.resume()
      await setTimeout(20)
      expect(caller.events).toEqual([])
    }
  })
})

describe('bytes that no decoder shows', () => {
  test('a key in the file name of a gzip member is not handed on', async () => {
    const plain = zlib.gzipSync('{}')
    // RFC 1952 section 2.3: flag 8, and the name, ended by zero, behind the ten bytes of the header.
    const header = Buffer.from(plain.subarray(0, 10))
    header[3] = 8
    const named = Buffer.concat([header, Buffer.from(`${key}\0`), plain.subarray(10)])
    expect(zlib.gunzipSync(named).toString()).toBe('{}')
    const caller = await new Caller('gzip').receive([named])
    expect(caller.head).toEqual({ identity: true, length: 2 })
    expect(caller.bytes.toString()).toBe('{}')
    expect(caller.found).toBe(1)
    const within = await new Caller('gzip, br').receive([encode('br', named)])
    expect([within.head?.identity, within.bytes.toString(), within.found]).toEqual([true, '{}', 1])
  })

  test('a second gzip member is looked into', async () => {
    const two = Buffer.concat([zlib.gzipSync('first '), zlib.gzipSync(key)])
    expect((await new Caller('gzip').receive([two])).bytes.toString()).toBe(`first ${masked}`)
    const streamed = await new Caller('gzip', { maxBufferedBytes: 8, maxDecodedBytes: 8 }).receive(slices(two, 9))
    expect(streamed.bytes.toString()).toBe(`first ${masked}`)
  })

  test('a member hidden behind zeros is not handed on', async () => {
    const hidden = Buffer.concat([zlib.gzipSync('{}'), Buffer.alloc(4), zlib.gzipSync(key)])
    expect((await new Caller('gzip').receive([hidden])).events).toEqual(['error'])
  })

  test('a zstd window above 8 MiB is refused', async () => {
    const wide = zlib.zstdCompressSync(Buffer.alloc(20_000_000), { params: { [zlib.constants.ZSTD_c_windowLog]: 26 } })
    expect((await new Caller('zstd').receive([wide])).events).toEqual(['error'])
  })
})

test('padding with zeros behind a gzip stream is dropped, however much of it', async () => {
  const chunks = [zlib.gzipSync(key), ...slices(Buffer.alloc(500_000), 65_536)]
  const caller = await new Caller('gzip', { maxBufferedBytes: 8, maxDecodedBytes: 8 }).receive([
    Buffer.concat(chunks.slice(0, 2)),
    ...chunks.slice(2),
  ])
  expect([caller.bytes.toString(), caller.events.at(-1)]).toEqual([masked, 'end'])
})

test('the decoders of an answer are closed when the caller leaves and when it fails', async () => {
  for (const chunk of [noise.subarray(0, 1000), zlib.gzipSync(noise)]) {
    const streams: Transform[] = []
    const watched = decoders('gzip, gzip').map((decoder) => ({
      ...decoder,
      createStream: () => {
        const stream = decoder.createStream()
        streams.push(stream)
        return stream
      },
    }))
    const failed = Promise.withResolvers<void>()
    const receiver = {
      onHead: () => {},
      onData: () => true,
      onEnd: () => {},
      onError: () => failed.resolve(),
      onFlow: () => {},
    }
    const inspector = new Inspector(guardOf(key), watched, receiver, { maxBufferedBytes: 8, maxDecodedBytes: 8 })
    inspector.push(chunk)
    expect(streams.map((stream) => stream.destroyed)).toEqual([false, false])
    if (chunk.length === 1000) await failed.promise
    else inspector.abort()
    expect(streams.map((stream) => stream.destroyed)).toEqual([true, true])
  }
})

test('an answer without coding is not for the inspector', () => {
  expect(() => new Caller('identity')).toThrow(TypeError)
})

test('the caller who leaves during a callback hears nothing more', async () => {
  const events: string[] = []
  const inspector = new Inspector(guardOf(key), decoders('gzip'), {
    onHead: () => {
      events.push('head')
      inspector.abort()
    },
    onData: () => events.push('data') > 0,
    onEnd: () => events.push('end'),
    onError: () => events.push('error'),
    onFlow: () => {},
  })
  inspector.push(zlib.gzipSync('{}'))
  inspector.end()
  await setImmediate()
  expect(events).toEqual(['head'])
})

test('any body in any coding, cut anywhere, held or streamed, comes out as if it had not been compressed', async () => {
  const piece = fc.oneof(fc.constantFrom(key, key.slice(0, 9), 'cog_', 'co'), fc.string({ maxLength: 30 }))
  const bodies = fc.array(piece, { maxLength: 20 }).map((pieces) => Buffer.from(pieces.join('')))
  const limits = fc.record({ maxBufferedBytes: fc.nat(80), maxDecodedBytes: fc.integer({ min: 1, max: 200 }) })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...spellings),
      bodies,
      limits,
      fc.integer({ min: 1, max: 50 }),
      async (spelling, body, limit, size) => {
        const original = encode(spelling, body)
        const caller = await new Caller(spelling, limit).receive(slices(original, size))
        const expected = guardOf(key).maskBuffer(body)
        expect(caller.error).toBeNull()
        expect((caller.found ?? 0) > 0).toBe(expected !== body)
        if (caller.head?.identity === true) expect(caller.bytes).toEqual(expected)
        else expect([caller.bytes, expected]).toEqual([original, body])
        if (caller.head?.length !== null) expect(caller.head?.length).toBe(caller.size)
      },
    ),
    { numRuns: 500 },
  )
})
