// Filtered lists against an upstream in memory: whatever pages it has and the caller asks for, the caller's pages together
// are the plainly filtered list, in its order; and whatever the upstream does, nothing of another organization passes.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ResponseSink, ResponseSource } from '../../src/cache/response-stream.ts'
import { cursorPaging } from '../../src/catalogue/paging.ts'
import type { AnswerShape } from '../../src/catalogue/operation.ts'
import type { PagePosition } from '../../src/filtering/paging/cursor.ts'
import type { ListRequest, ReadingBounds } from '../../src/filtering/paging/list-request.ts'
import { filterList } from '../../src/filtering/list.ts'
import { Problem } from '../../src/problems.ts'
import { collect, type Collected } from './collected.ts'

const shape: AnswerShape = {
  form: 'page',
  items: 'items',
  organizations: ['org_id'],
  optional: false,
  id: 'id',
  paging: cursorPaging,
}

interface Item {
  readonly id: string
  readonly org_id: string
}

interface Page {
  readonly items: readonly Item[]
  readonly end_cursor: string | null
  readonly has_next_page: boolean
  readonly total: number | null
}

/** An upstream whose cursors name the last item. `narrow`: it shows these organizations only. */
class Upstream {
  items: readonly Item[]
  calls = 0
  readonly #narrow: ReadonlySet<string> | null

  constructor(items: readonly Item[], narrow: ReadonlySet<string> | null = null) {
    this.items = items
    this.#narrow = narrow
  }

  page({ after, size }: Pick<PagePosition, 'after' | 'size'>): Page {
    this.calls += 1
    const all = this.items.filter(({ org_id }) => this.#narrow?.has(org_id) ?? true)
    const start = after === null ? 0 : Number(after.split(':')[0])
    const items = all.slice(start, start + size)
    const end = start + items.length
    return {
      items,
      end_cursor: items.length === 0 ? null : `${end}:`,
      has_next_page: end < all.length,
      total: all.length,
    }
  }
}

const nothing: ResponseSource = { resume: () => undefined, abort: () => undefined }

/** Gives an answer to a sink in two pieces. */
function answer(sink: ResponseSink, body: string, { status = 200, type = 'application/json' } = {}): void {
  const bytes = Buffer.from(body)
  sink.attach(nothing)
  sink.head({ status, fields: ['content-type', type, 'etag', '"x"', 'link', '<x>; rel=next'], length: bytes.length })
  sink.data(bytes.subarray(0, bytes.length / 2))
  sink.end(bytes.subarray(bytes.length / 2))
}

interface Asking {
  readonly fence?: ReadonlySet<string>
  readonly size?: number
  readonly start?: PagePosition
  readonly isNarrowed?: boolean
  readonly bounds?: ReadingBounds
  readonly shape?: AnswerShape
  readonly drop?: readonly string[]
}

const mine = new Set(['a'])
const beginning = (size: number): PagePosition => ({ after: null, size, skip: 0, last: null })

function ask(fetch: ListRequest['fetch'], asking: Asking = {}): Collected {
  const { fence = mine, size = 100, start = beginning(size), isNarrowed = false, drop = [] } = asking
  const sink = collect()
  const request: ListRequest = {
    shape: asking.shape ?? shape,
    selection: { organizations: fence, drop },
    page: { size, start, isNarrowed, seal: (position) => JSON.stringify(position) },
    fetch,
    refusal: (why) => new Problem('upstream-answer-refused', why),
    monotonic: () => 0,
  }
  filterList(request, sink, ...(asking.bounds === undefined ? [] : [asking.bounds]))
  return sink
}

function pageOf(sink: Collected): Page {
  expect(sink.problem).toBeNull()
  expect(sink.status).toBe(200)
  return JSON.parse(sink.text) as Page
}

const from =
  (upstream: Upstream): ListRequest['fetch'] =>
  (page, sink) =>
    answer(sink, JSON.stringify(upstream.page(page ?? beginning(100))))

/** Every page from the first to the last. `between` is called after each. */
function readAll(upstream: Upstream, asking: Asking, between: () => void = () => undefined): readonly Page[] {
  const pages: Page[] = []
  let start: PagePosition | undefined
  for (;;) {
    const page = pageOf(ask(from(upstream), start === undefined ? asking : { ...asking, start }))
    pages.push(page)
    if (!page.has_next_page || pages.length > 500) return pages
    start = JSON.parse(page.end_cursor ?? '') as PagePosition
    between()
  }
}

const items = fc
  .array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 120 })
  .map((organizations) => organizations.map((org_id, index): Item => ({ id: `i${index}`, org_id })))
const fences = fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1 }).map((fence) => new Set(fence))

describe('the pages of a caller', () => {
  test('together are the filtered list, in its order, each of the size that was asked for but the last', () => {
    fc.assert(
      fc.property(
        items,
        fences,
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 200 }),
        fc.boolean(),
        (all, fence, size, first, narrow) => {
          const upstream = new Upstream(all, narrow ? fence : null)
          const pages = readAll(upstream, { fence, size, start: beginning(narrow ? size : first), isNarrowed: narrow })
          const visible = all.filter(({ org_id }) => fence.has(org_id))
          expect(pages.flatMap((page) => page.items)).toEqual(visible)
          for (const page of pages.slice(0, -1)) expect(page.items).toHaveLength(size)
          // More is said to follow only when more follows, and the count only when it is all of what was shown.
          expect(pages).toHaveLength(Math.max(1, Math.ceil(visible.length / size)))
          for (const page of pages) expect([null, pages.length === 1 ? visible.length : null]).toContain(page.total)
          expect(pages.at(-1)?.end_cursor === null).toBe(visible.length === 0)
        },
      ),
    )
  })

  test('hold nothing foreign and lose nothing but what was deleted, while items come and go', () => {
    const deletions = fc.array(fc.nat(), { maxLength: 40 })
    fc.assert(
      fc.property(items, fences, fc.integer({ min: 1, max: 9 }), deletions, (all, fence, size, plan) => {
        // Cursors by identity, as of a list that is sorted: the item after the one that is named.
        const list = [...all]
        const stays = new Set(all.map(({ id }) => id))
        const keyed: ListRequest['fetch'] = (page, sink) => {
          const { after, size: asked } = page ?? beginning(100)
          const order = after === null ? -1 : Number(after)
          const rest = list.filter(({ id }) => Number(id.slice(1)) > order)
          const shown = rest.slice(0, asked)
          const last = shown.at(-1)
          const end_cursor = last === undefined ? null : last.id.slice(1)
          answer(sink, JSON.stringify({ items: shown, end_cursor, has_next_page: rest.length > asked }))
        }
        const seen: Item[] = []
        let start = beginning(size + 1)
        for (let count = 0; count < 500; count += 1) {
          const page = pageOf(ask(keyed, { fence, size, start }))
          seen.push(...page.items)
          if (!page.has_next_page) break
          start = JSON.parse(page.end_cursor ?? '') as PagePosition
          const at = plan[count]
          if (at === undefined || list.length === 0) continue
          // One item less: the one to go on from as well as any other.
          const [gone] = list.splice(at % list.length, 1)
          if (gone !== undefined) stays.delete(gone.id)
        }
        expect(seen.every(({ org_id }) => fence.has(org_id))).toBe(true)
        const ids = seen.map(({ id }) => id)
        expect(new Set(ids).size).toBe(ids.length)
        for (const { id, org_id } of all) if (fence.has(org_id) && stays.has(id)) expect(ids).toContain(id)
      }),
    )
  })

  test('cost one call where the upstream shows these organizations only', () => {
    const upstream = new Upstream(
      Array.from({ length: 30 }, (_, index) => ({ id: `i${index}`, org_id: index % 2 === 0 ? 'a' : 'b' })),
      mine,
    )
    const pages = readAll(upstream, { size: 5, isNarrowed: true })
    expect(pages.map((page) => page.items.length)).toEqual([5, 5, 5])
    expect(upstream.calls).toBe(3)
  })

  test('are filtered all the same where the upstream does not keep to that', () => {
    const upstream = new Upstream(
      Array.from({ length: 30 }, (_, index) => ({ id: `i${index}`, org_id: index % 3 === 0 ? 'a' : 'b' })),
    )
    const pages = readAll(upstream, { size: 4, isNarrowed: true })
    expect(pages.map((page) => page.items.length)).toEqual([4, 4, 2])
  })
})

describe('reading on', () => {
  const sparse = new Upstream(
    Array.from({ length: 3000 }, (_, index) => ({ id: `i${index}`, org_id: index % 1000 === 999 ? 'a' : 'b' })),
  )

  test('ends after so many calls: the page is shorter, and goes on behind them', () => {
    const bounds = { maxCalls: 3, maxBytes: 1e9, maxMs: 1e9 }
    const first = pageOf(ask(from(sparse), { size: 10, start: beginning(200), bounds }))
    expect(first).toMatchObject({ items: [], has_next_page: true, total: null })
    expect(JSON.parse(first.end_cursor ?? '')).toEqual({ after: '600:', size: 200, skip: 0, last: null })
    expect(readAll(sparse, { size: 10, start: beginning(200), bounds }).flatMap((page) => page.items)).toHaveLength(3)
  })

  test('ends after so many bytes and after so long', () => {
    const before = sparse.calls
    pageOf(
      ask(from(sparse), { size: 10, start: beginning(200), bounds: { maxCalls: 99, maxBytes: 12_000, maxMs: 1e9 } }),
    )
    expect(sparse.calls - before).toBeLessThan(5)
    pageOf(ask(from(sparse), { size: 10, start: beginning(200), bounds: { maxCalls: 99, maxBytes: 1e9, maxMs: 0 } }))
    expect(sparse.calls - before).toBeLessThan(6)
  })

  test('that fails gives what there is, from which the caller can go on', () => {
    const list = Array.from({ length: 9 }, (_, index) => ({ id: `i${index}`, org_id: index < 2 ? 'a' : 'b' }))
    const upstream = new Upstream(list)
    for (const failure of ['status', 'silence', 'overload'] as const) {
      let calls = 0
      const flaky: ListRequest['fetch'] = (page, sink) => {
        calls += 1
        if (calls === 1) answer(sink, JSON.stringify(upstream.page({ ...(page ?? beginning(3)), size: 3 })))
        else if (failure === 'overload') throw new Problem('overloaded', 'x')
        else if (failure === 'status') answer(sink, '{"detail":"slow down"}', { status: 429 })
        else sink.fail(new Problem('upstream-timeout', 'x'))
      }
      const page = pageOf(ask(flaky, { size: 5, start: beginning(3) }))
      expect(page).toMatchObject({ items: list.slice(0, 2), has_next_page: true })
      expect(JSON.parse(page.end_cursor ?? '')).toMatchObject({ after: '3:', skip: 0 })
    }
  })

  test('that fails with nothing to give is the failure', () => {
    const failing: ListRequest['fetch'] = (_, sink) => answer(sink, '{"detail":"slow down"}', { status: 429 })
    const passed = ask(failing)
    expect([passed.status, passed.text]).toEqual([429, '{"detail":"slow down"}'])
    expect(ask((_, sink) => sink.fail(new Problem('upstream-timeout', 'x'))).problem?.kind).toBe('upstream-timeout')
  })
})

describe('an answer that is not as the catalogue says', () => {
  const page = (over: object): string =>
    JSON.stringify({ items: [{ id: 'i', org_id: 'a' }], end_cursor: null, has_next_page: false, ...over })
  test.each([
    ['no JSON', '<html>', {}],
    ['JSON of another type', page({}), { type: 'text/html' }],
    ['another status', page({}), { status: 203 }],
    ['a part', page({}), { status: 206 }],
    ['a redirect', '', { status: 307 }],
    ['nothing', '', {}],
    ['an unasked 304', '', { status: 304 }],
    ['no list', page({ items: null }), {}],
    ['an item that names no organization', page({ items: [{ id: 'i' }] }), {}],
    ['an item that is none', page({ items: ['org_id'] }), {}],
    ['more without a cursor', page({ has_next_page: true }), {}],
    ['an odd cursor', page({ end_cursor: 7 }), {}],
    ['an odd word on more', page({ has_next_page: 'false' }), {}],
    [
      'a foreign item behind a full page that is broken',
      `{"items":[{"id":"i","org_id":"a"},{"id":"j","org_id":"b"`,
      {},
    ],
  ])('is refused whole: %s', (_, body, how) => {
    const refused = ask((_page, sink) => answer(sink, body, how), { size: 1 })
    expect(refused.problem?.kind).toBe('upstream-answer-refused')
    expect(refused.head_).toBeNull()
    expect(refused.text).toBe('')
  })

  test('is refused when its pages go round in a circle', () => {
    const circle: ListRequest['fetch'] = (_, sink) =>
      answer(sink, page({ items: [], has_next_page: true, end_cursor: 'c' }))
    expect(ask(circle).problem?.message).toBe('its pages go round in a circle')
  })

  test('breaks off when a part of it is on its way', () => {
    const large = Array.from({ length: 900 }, (_, index) => ({ id: `i${index}`, org_id: 'a', text: 'x'.repeat(1000) }))
    const body = JSON.stringify({ items: large, end_cursor: null })
    const broken = ask((_, sink) => answer(sink, body.slice(0, -3)), { size: 1000 })
    expect(broken.status).toBe(200)
    expect(broken.problem?.kind).toBe('upstream-answer-refused')
  })
})

test('fields and members that tell of what was filtered are not given on', () => {
  const body = JSON.stringify({ items: [{ id: 'i', org_id: 'b' }], end_cursor: null, total: 1, count_by_org: { b: 1 } })
  const given = ask((_, sink) => answer(sink, body))
  expect(given.head_?.fields).toEqual(['content-type', 'application/json'])
  expect(given.text).toBe('{"items":[],"end_cursor":null,"has_next_page":false,"total":0}')
  expect(given.head_?.length).toBe(given.text.length)
})

describe('a list that comes whole', () => {
  const whole: AnswerShape = { ...shape, items: 'data', paging: null }
  const askWhole = (body: string, selection: ListRequest['selection'], its = whole): Collected => {
    const sink = collect()
    const fetch: ListRequest['fetch'] = (page, to) => {
      expect(page).toBeNull()
      answer(to, body)
    }
    filterList(
      {
        shape: its,
        selection,
        page: null,
        fetch,
        refusal: (why) => new Problem('upstream-answer-refused', why),
        monotonic: () => 0,
      },
      sink,
    )
    return sink
  }

  test('is filtered item by item, and its other members go', () => {
    const body = '{"data":[{"org_id":"b"},{"org_id":"a"}],"count":2}'
    expect(askWhole(body, { organizations: mine, drop: [] }).text).toBe('{"data":[{"org_id":"a"}]}')
  })

  test('may be a bare array', () => {
    const bare: AnswerShape = { ...whole, form: 'list', items: null }
    const body = '[{"org_id":"b"}, {"org_id":"a"},{"org_id":"a"}]'
    expect(askWhole(body, { organizations: mine, drop: [] }, bare).text).toBe('[{"org_id":"a"},{"org_id":"a"}]')
  })

  test('of which only fields are dropped keeps all its items and members', () => {
    const body = '{"count":2.50,"data":[{"org_id":"b","x":1},{"org_id":"a"}],"end_cursor":"c"}'
    expect(askWhole(body, { organizations: 'all', drop: ['x'] }).text).toBe(
      '{"data":[{"org_id":"b"},{"org_id":"a"}],"count":2.50,"end_cursor":"c"}',
    )
  })
})

describe('a caller', () => {
  test('that has no room makes the upstream pause, and go on when it has', () => {
    const events: string[] = []
    const sink = collect()
    sink.room = false
    const large = Array.from({ length: 900 }, (_, index) => ({ id: `i${index}`, org_id: 'a', text: 'x'.repeat(1000) }))
    const body = Buffer.from(JSON.stringify({ items: large }))
    const fetch: ListRequest['fetch'] = (_, to) => {
      to.attach({ resume: () => events.push('resume'), abort: () => events.push('abort') })
      to.head({ status: 200, fields: ['content-type', 'application/json'], length: null })
      expect(to.data(body.subarray(0, 100_000))).toBe(true)
      expect(to.data(body.subarray(100_000, 700_000))).toBe(false)
    }
    const request: ListRequest = {
      shape,
      selection: { organizations: mine, drop: [] },
      page: { size: 1000, start: beginning(200), isNarrowed: false, seal: () => '' },
      fetch,
      refusal: (why) => new Problem('upstream-answer-refused', why),
      monotonic: () => 0,
    }
    filterList(request, sink)
    sink.flow?.resume()
    sink.flow?.abort()
    expect(events).toEqual(['resume', 'abort'])
  })
})

test('a list of many tiny items is given on in large pieces, and each of them as soon as it was read', () => {
  const given: number[] = []
  const sink = collect()
  const { data } = sink
  sink.data = (chunk) => {
    given.push(chunk.length)
    return data.call(sink, chunk)
  }
  const item = JSON.stringify({ id: 'x', org_id: 'a' })
  const count = 60_000
  let opened: ResponseSink | null = null
  filterList(
    {
      shape,
      selection: { organizations: mine, drop: [] },
      page: null,
      fetch: (_page, to) => (opened = to),
      refusal: (why) => new Problem('upstream-answer-refused', why),
      monotonic: () => 0,
    },
    sink,
  )
  const to = opened as ResponseSink | null
  to?.attach(nothing)
  to?.head({ status: 200, fields: ['content-type', 'application/json'], length: null })
  to?.data(Buffer.from(`{"items":[${Array(count).fill(item).join(',')}`))
  const before = sink.text.length
  expect(before).toBeGreaterThan(count * item.length)
  expect(given.length).toBeLessThan(2 + (count * (item.length + 1)) / 10_000)
  to?.data(Buffer.from(`,${item}`))
  expect(sink.text.length).toBe(before + 1 + item.length)
  to?.end(Buffer.from(']}'))
  expect(sink.isOver).toBe(true)
})
