// What is made of a stored answer for one caller: conditions, ranges, content codings, the cache's own ETag.

import * as zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { classRule, httpDate, Setting, startMs, type Ask } from './support.ts'

const lastModified = httpDate(startMs - 5_000_000)

describe('conditions of a caller (RFC 9110 section 13)', () => {
  it.each<[string, Ask['fields'], number]>([
    ['the ETag', { 'if-none-match': '"a"' }, 304],
    ['the weak form', { 'if-none-match': 'W/"a"' }, 304],
    ['one of several', { 'if-none-match': '"1, 2", "a" , "3"' }, 304],
    ['several lines', { 'if-none-match': ['"1"', '"a"'] }, 304],
    ['any', { 'if-none-match': '*' }, 304],
    ['another', { 'if-none-match': '"b"' }, 200],
    ['a part of it', { 'if-none-match': '"aa"' }, 200],
    ['the date', { 'if-modified-since': lastModified }, 304],
    ['a later date', { 'if-modified-since': httpDate(startMs) }, 304],
    ['an earlier date', { 'if-modified-since': httpDate(startMs - 6_000_000) }, 200],
    ['a date in the oldest form', { 'if-modified-since': 'Tuesday, 24-Nov-26 12:00:00 GMT' }, 304],
    ['no date', { 'if-modified-since': 'yesterday' }, 200],
    ['If-None-Match counts before', { 'if-none-match': '"b"', 'if-modified-since': httpDate(startMs) }, 200],
    ['and also when it matches', { 'if-none-match': '"a"', 'if-modified-since': httpDate(0) }, 304],
  ])('%s', (_name, fields, status) => {
    const setting = new Setting(classRule)
    setting.store({ etag: '"a"', 'last-modified': lastModified, 'content-type': 'text/plain', vary: 'foo' })
    const caller = setting.ask('/things', fields === undefined ? {} : { fields })
    expect(caller).toMatchObject({ status, ended: true, body: status === 200 ? 'body' : '' })
    expect(caller.fields).toMatchObject({ etag: '"a"', vary: 'foo', age: '0' })
    if (status === 304) expect(caller.fields).not.toHaveProperty('content-type')
  })

  it('section 13.2.1: do not apply to other statuses than 200', () => {
    const setting = new Setting({ kind: 'rfc9111', heuristics: false })
    setting.store({ 'cache-control': 'max-age=60', etag: '"a"' }, 'gone', 410)
    expect(setting.ask('/things', { fields: { 'if-none-match': '"a"' } }).status).toBe(410)
  })

  it('are held against what the upstream answers just now, and the whole answer is stored', () => {
    for (const rule of [classRule, { kind: 'rfc9111', heuristics: false } as const]) {
      const setting = new Setting(rule)
      const caller = setting.ask('/things', { fields: { 'if-none-match': '"a"' } })
      setting.call.head(200, { etag: '"a"', 'cache-control': 'max-age=60' }, 8)
      setting.call.sink.data(Buffer.from('body'))
      setting.call.sink.end(Buffer.from('more'))
      expect(caller).toMatchObject({ status: 304, ended: true, body: '' })
      expect(setting.ask().body).toBe('bodymore')
    }
  })
})

describe('the cache’s own ETag', () => {
  it('is given to every caller of a class-cached answer, and brings 304 while the answer is the same', () => {
    const setting = new Setting(classRule)
    const { etag = '' } = setting.store().fields
    expect(etag).toMatch(/^W\/"[\w-]{22}"$/)
    expect(setting.ask().fields['etag']).toBe(etag)
    expect(setting.ask('/things', { fields: { 'if-none-match': etag } }).status).toBe(304)
    setting.pass(60)
    const later = setting.ask('/things', { fields: { 'if-none-match': etag } })
    setting.call.answer(200)
    expect(later).toMatchObject({ status: 304, result: 'miss' })
    setting.pass(60)
    const changed = setting.ask('/things', { fields: { 'if-none-match': etag } })
    setting.call.answer(200, {}, 'other')
    expect(changed).toMatchObject({ status: 200, body: 'other' })
    expect(changed.fields['etag']).not.toBe(etag)
  })

  it('is the same in every coding', () => {
    const etags = [
      undefined,
      zlib.gzipSync('body'),
      zlib.gzipSync('body', { level: 0 }),
      zlib.brotliCompressSync('body'),
    ].map((coded, place) => {
      const coding = coded === undefined ? {} : { 'content-encoding': place === 3 ? 'br' : 'gzip' }
      return new Setting(classRule).store(coding, coded ?? 'body').fields['etag']
    })
    expect(new Set(etags)).toHaveLength(1)
  })

  it('gives way to the upstream’s', () => {
    expect(new Setting(classRule).store({ etag: '"theirs"' }).fields['etag']).toBe('"theirs"')
  })

  it('is not given where the upstream’s fields alone decide', () => {
    const setting = new Setting()
    setting.store({ 'cache-control': 'max-age=60' })
    expect(setting.ask().fields).not.toHaveProperty('etag')
  })
})

describe('ranges of a stored answer (RFC 9110 section 14)', () => {
  it.each<[string, Record<string, string>, number, string, string | undefined]>([
    ['first bytes', { range: 'bytes=0-1' }, 206, '01', 'bytes 0-1/10'],
    ['from a byte on', { range: 'bytes=7-' }, 206, '789', 'bytes 7-9/10'],
    ['last bytes', { range: 'bytes=-3' }, 206, '789', 'bytes 7-9/10'],
    ['more than there is', { range: 'bytes=8-99' }, 206, '89', 'bytes 8-9/10'],
    ['more last bytes than there are', { range: 'bytes=-99' }, 206, '0123456789', 'bytes 0-9/10'],
    ['beyond the end', { range: 'bytes=10-' }, 416, '', 'bytes */10'],
    ['no last bytes', { range: 'bytes=-0' }, 416, '', 'bytes */10'],
    ['the wrong way round', { range: 'bytes=5-2' }, 200, '0123456789', undefined],
    ['several', { range: 'bytes=0-1,4-5' }, 200, '0123456789', undefined],
    ['another unit', { range: 'lines=0-1' }, 200, '0123456789', undefined],
    ['If-Range with the ETag', { range: 'bytes=0-1', 'if-range': '"a"' }, 206, '01', 'bytes 0-1/10'],
    ['If-Range with another', { range: 'bytes=0-1', 'if-range': '"b"' }, 200, '0123456789', undefined],
    ['If-Range with a weak one', { range: 'bytes=0-1', 'if-range': 'W/"a"' }, 200, '0123456789', undefined],
    ['If-Range with the date', { range: 'bytes=0-1', 'if-range': lastModified }, 206, '01', 'bytes 0-1/10'],
  ])('%s', (_name, fields, status, body, contentRange) => {
    const setting = new Setting(classRule)
    setting.store({ etag: '"a"', 'last-modified': lastModified }, '0123456789')
    const caller = setting.ask('/things', { fields })
    expect(caller).toMatchObject({ status, body, length: body.length })
    expect(caller.fields['content-range']).toBe(contentRange)
    expect(setting.calls).toHaveLength(1)
  })

  it('without a stored answer the whole is asked for, kept, and the part of it given', () => {
    const setting = new Setting({ kind: 'rfc9111', heuristics: false })
    const caller = setting.ask('/things', { fields: { range: 'bytes=0-1', 'if-range': '"x"' } })
    expect(setting.call.shared).toEqual([])
    setting.call.answer(200, { 'cache-control': 'max-age=60', etag: '"x"' }, '0123')
    expect(caller).toMatchObject({ status: 206, body: '01' })
    expect(caller.fields['content-range']).toBe('bytes 0-1/4')
    expect(setting.cache.stats().entries).toBe(1)
  })

  it('an upstream that answers with a part unasked is passed on, and its part is not stored', () => {
    const setting = new Setting({ kind: 'rfc9111', heuristics: false })
    const caller = setting.ask('/things', { fields: { range: 'bytes=0-1' } })
    setting.call.answer(206, { 'cache-control': 'max-age=60', 'content-range': 'bytes 0-1/9' }, '01')
    expect(caller).toMatchObject({ status: 206, body: '01' })
    expect(setting.cache.stats().entries).toBe(0)
  })

  it('what is too large to keep comes whole', () => {
    const setting = new Setting({ kind: 'rfc9111', heuristics: false }, { maxEntryBytes: 8 })
    const caller = setting.ask('/things', { fields: { range: 'bytes=0-1' } })
    setting.call.answer(200, { 'cache-control': 'max-age=60' }, '0123456789')
    expect(caller).toMatchObject({ status: 200, body: '0123456789' })
  })
})

describe('content codings', () => {
  const text = 'text '.repeat(100)
  const codings: Record<string, Buffer> = {
    gzip: zlib.gzipSync(text),
    deflate: zlib.deflateSync(text),
    br: zlib.brotliCompressSync(text),
    zstd: zlib.zstdCompressSync(text),
  }

  it.each(Object.keys(codings))('%s is kept as it came, and undone for who did not ask for it', (coding) => {
    const setting = new Setting(classRule)
    const bytes = codings[coding] ?? ''
    setting.store({ 'content-encoding': coding, etag: '"a"', vary: 'accept-encoding', 'repr-digest': 'x' }, bytes)
    const asking = setting.ask('/things', { fields: { 'accept-encoding': `${coding};q=0.5, identity` } })
    expect(asking.fields).toMatchObject({ 'content-encoding': coding, etag: '"a"' })
    expect(Buffer.concat(asking.chunks).equals(Buffer.from(bytes))).toBe(true)
    for (const field of [undefined, 'identity', 'x-other', `*, ${coding};q=0`]) {
      const plain = setting.ask('/things', field === undefined ? {} : { fields: { 'accept-encoding': field } })
      expect(plain).toMatchObject({ body: text, length: text.length, fields: { etag: 'W/"a"' } })
      for (const name of ['content-encoding', 'repr-digest']) expect(plain.fields).not.toHaveProperty(name)
    }
    expect(setting.calls).toHaveLength(1)
  })

  it('`*` asks for whatever is there', () => {
    const setting = new Setting(classRule)
    setting.store({ 'content-encoding': 'gzip' }, codings['gzip'])
    const caller = setting.ask('/things', { fields: { 'accept-encoding': '*' } })
    expect(caller.fields['content-encoding']).toBe('gzip')
  })

  it('a body that is damaged, or too long without its coding, is fetched anew for who needs it plain', () => {
    for (const bytes of [Buffer.from('not gzip'), zlib.gzipSync('x'.repeat(100_000))]) {
      const setting = new Setting(classRule)
      setting.ask('/things', { fields: { 'accept-encoding': 'gzip' } })
      setting.call.answer(200, { 'content-encoding': 'gzip' }, bytes)
      const caller = setting.ask()
      expect(caller.isWaiting).toBe(true)
      setting.call.answer(200, {}, 'plain')
      expect(caller).toMatchObject({ body: 'plain' })
      expect(caller.fields['cache-status']).toContain('fwd=miss')
    }
  })

  it('a range of a body that has to be decoded is the whole', () => {
    const setting = new Setting(classRule)
    setting.store({ 'content-encoding': 'gzip' }, codings['gzip'])
    expect(setting.ask('/things', { fields: { range: 'bytes=0-1' } })).toMatchObject({ status: 200, body: text })
  })
})
