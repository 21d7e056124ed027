// The worst answers of the upstream: filtered, searched for keys, with and without a coding. Callers choose much of what is in them.

import { gzipSync } from 'node:zlib'
import type { ResponseSink } from '../../src/cache/response-stream.ts'
import type { AnswerShape } from '../../src/catalogue/operation.ts'
import { filterList } from '../../src/filtering/list.ts'
import { FilteredObject } from '../../src/filtering/object.ts'
import type { Selection } from '../../src/filtering/selection.ts'
import { InPieces } from '../../src/gateway/long-pieces.ts'
import { Inspector } from '../../src/gateway/responses/compressed-answer.ts'
import { createLeakGuard, type LeakGuard } from '../../src/gateway/responses/leak-guard.ts'
import { StreamTurns } from '../../src/gateway/stream-turns.ts'
import { decodersFor } from '../../src/http/content-coding.ts'
import { Problem } from '../../src/problems.ts'
import type { Step } from './step.ts'

const mebibyte = 1024 * 1024
/** As Node reads a socket. */
const readBytes = 64 * 1024

const nothing: ResponseSink = {
  attach: () => undefined,
  head: () => undefined,
  data: () => true,
  end: () => undefined,
  fail: () => undefined,
}
const shape: AnswerShape = {
  form: 'object',
  items: 'items',
  organizations: ['org_id'],
  optional: false,
  id: 'id',
  paging: null,
}
const refusal = (why: string): Problem => new Problem('upstream-answer-refused', why)

type Opened = (turns: StreamTurns) => ResponseSink

function filteredBy(selection: Selection, form: 'object' | 'list'): Opened {
  return (turns) => {
    let opened: ResponseSink | null = null
    const request = { shape, selection, refusal, outside: () => refusal('it is outside') }
    if (form === 'object') opened = new FilteredObject(request, nothing)
    else
      filterList(
        { ...request, page: null, fetch: (_page, sink) => (opened = sink), monotonic: () => performance.now() },
        nothing,
      )
    if (opened === null) throw new Error('nothing was asked')
    return new InPieces(opened, turns, 'payments')
  }
}

/** The answer as it is read from a socket, or at once, as it is when it was decoded. */
function fed(name: string, bytes: Buffer, open: Opened, chunkBytes = bytes.length): Step {
  return {
    name,
    run(turn) {
      const later: (() => void)[] = []
      const sink = open(new StreamTurns((work) => later.push(work)))
      const goOn = (): void => {
        for (let work = later.shift(); work !== undefined; work = later.shift()) turn(work)
      }
      const flow = { resume: () => undefined, abort: () => undefined }
      turn(() => {
        sink.attach(flow)
        sink.head({ status: 200, fields: ['content-type', 'application/json'], length: null })
      })
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        turn(() => sink.data(bytes.subarray(at, at + chunkBytes)))
        goOn()
      }
      turn(() => sink.end(null))
      goOn()
    },
  }
}

/** In two sizes of pieces. */
function filtered(what: string, text: string, selection: Selection, form: 'object' | 'list'): Step[] {
  const bytes = Buffer.from(text)
  const name = `a filtered ${form} of ${what}`
  return [
    fed(`${name}, as it comes`, bytes, filteredBy(selection, form), readBytes),
    fed(`${name}, at once`, bytes, filteredBy(selection, form)),
  ]
}

function list(item: unknown, count: number): string {
  return JSON.stringify({ items: Array(count).fill(item) })
}

function members(count: number, value: unknown): object {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`name-${index}`, value]))
}

const all: Selection = { organizations: 'all', drop: ['b'] }
const some: Selection = { organizations: new Set(['org-1']), drop: ['prompt', 'of.*.secret', 'all.*'] }
const own = { id: 'x', org_id: 'org-1' }

/** A million and more beginnings of keys. */
const prefixes = Buffer.alloc(mebibyte, 'cog_')
const guard = createLeakGuard()
for (let key = 0; key < 1000; key += 1) guard.protect(`cog_${String(key).padStart(60, 'x')}`)

function inspected(name: string, content: Buffer): Step {
  const coded = gzipSync(content)
  return {
    name: `a compressed answer of ${name}`,
    run: (turn) =>
      new Promise<void>((resolve, reject) => {
        // Some of it is searched later, when nobody is asked.
        const searched: LeakGuard = {
          ...guard,
          maskBuffer: (bytes) => turn(() => guard.maskBuffer(bytes)),
          createScanner() {
            const scanner = guard.createScanner()
            const { push } = scanner
            return Object.assign(scanner, { push: (chunk: Buffer) => turn(() => push(chunk)) })
          },
        }
        const inspector = new Inspector(searched, decodersFor('gzip') ?? [], {
          onHead: () => undefined,
          onData: () => true,
          onEnd: () => resolve(),
          onError: reject,
          onFlow: () => undefined,
        })
        for (let at = 0; at < coded.length; at += readBytes)
          turn(() => inspector.push(coded.subarray(at, at + readBytes)))
        turn(() => inspector.end())
      }),
  }
}

export const answers: readonly Step[] = [
  ...filtered('a long text', JSON.stringify({ ...own, prompt: 'a'.repeat(4 * mebibyte - 100) }), some, 'object'),
  ...filtered('a long text that passes', JSON.stringify({ ...own, a: 'é'.repeat(2 * mebibyte - 100) }), some, 'object'),
  ...filtered('escapes', JSON.stringify({ ...own, a: '\n'.repeat(2 * mebibyte - 100) }), some, 'object'),
  ...filtered('many long texts', JSON.stringify({ ...own, a: Array(9000).fill('a'.repeat(400)) }), some, 'object'),
  ...filtered('many members', JSON.stringify({ ...own, of: members(4900, 1) }), some, 'object'),
  ...filtered('members to drop', JSON.stringify({ ...own, all: members(4900, 1) }), some, 'object'),
  ...filtered('members to look into', JSON.stringify({ ...own, of: members(2400, { secret: 1 }) }), some, 'object'),
  ...filtered('small items', list(own, 120_000), some, 'list'),
  ...filtered('items to drop from', list({ ...own, prompt: 1 }, 90_000), some, 'list'),
  ...filtered('empty items', list({}, 1_300_000), all, 'list'),
  ...filtered('items of many values', list({ ...own, a: Array(9900).fill(1) }, 200), some, 'list'),
  ...filtered('items to look into', list({ ...own, of: members(2400, { secret: 1 }) }, 60), some, 'list'),
  ...filtered('large items', list({ ...own, a: 'a'.repeat(mebibyte - 100) }, 4), some, 'list'),
  ...filtered('large items of escapes', list({ ...own, a: '\n'.repeat(mebibyte / 2 - 100) }, 4), some, 'list'),
  fed('an answer full of beginnings of keys', prefixes, () => scanning(), readBytes),
  fed('an answer full of beginnings of escaped keys', Buffer.alloc(mebibyte, 'cog%5F'), () => scanning(), readBytes),
  fed('an answer full of beginnings of keys in base64', Buffer.alloc(mebibyte, 'Y29nX2'), () => scanning(), readBytes),
  {
    name: 'an answer in one piece, of beginnings of keys',
    run: (turn) => turn(() => guard.maskBuffer(prefixes.subarray(0, readBytes))),
  },
  {
    name: 'a field of beginnings of keys',
    run: (turn) => turn(() => guard.maskText(prefixes.toString('latin1', 0, 16 * 1024))),
  },
  inspected('beginnings of keys', prefixes.subarray(0, mebibyte - 64)),
  inspected('text', Buffer.alloc(mebibyte - 64, 'a text of many words ')),
  inspected('text that is long', Buffer.alloc(8 * mebibyte, 'a text of many words ')),
]

function scanning(): ResponseSink {
  const scanner = guard.createScanner()
  return {
    ...nothing,
    data(chunk) {
      scanner.push(chunk)
      return true
    },
  }
}
