// Filters a list: the sink of the upstream's pages, which are read until the caller's page is full, and its source.

import type { ResponseHead, ResponseSink, ResponseSource } from '../cache/response-stream.ts'
import { Problem } from '../problems.ts'
import type { StrictJson } from '../json/value.ts'
import { errorFields, filteredFields, treatmentOf } from './answer-head.ts'
import type { PagePosition } from './paging/cursor.ts'
import { ItemSplitter } from './item-splitter.ts'
import type { CallerPage, ListRequest, ReadingBounds } from './paging/list-request.ts'
import { listTail, pageTail } from './list-tail.ts'
import { Output } from './output.ts'
import { Resumption } from './paging/resumption.ts'
import { createSelector, type Selected } from './selection.ts'
import { UnknownShape } from './unknown-shape.ts'

const defaultBounds: ReadingBounds = { maxCalls: 20, maxBytes: 32 * 1024 * 1024, maxMs: 10_000 }
const comma = Buffer.from(',')

/** Asks for a list and feeds the sink the selected items. Throws what the first `fetch` throws. */
export function filterList(request: ListRequest, sink: ResponseSink, bounds: ReadingBounds = defaultBounds): void {
  const list = new FilteredList(request, sink, bounds)
  sink.attach(list)
  list.ask(request.page?.start ?? null)
}

class FilteredList implements ResponseSink, ResponseSource {
  readonly #request: ListRequest
  readonly #sink: ResponseSink
  readonly #bounds: ReadingBounds
  readonly #select: (bytes: Buffer) => Selected
  readonly #startedAtMs: number
  readonly #size: number
  #output: Output | null = null
  #flow: ResponseSource | null = null
  #state: 'reading' | 'passing' | 'over' = 'reading'
  #calls = 0
  #bytes = 0
  #pageBytes = 0
  #given = 0
  #sawForeign = false
  // Of the upstream's page that is being read.
  #page: PagePosition | null = null
  #splitter: ItemSplitter | null = null
  #members = new Map<string, StrictJson>()
  #index = 0
  #lastId: string | null = null
  /** Where the caller's next page begins, once an item of it has been seen. */
  #next: PagePosition | null = null
  #resumption = new Resumption(start)

  constructor(request: ListRequest, sink: ResponseSink, bounds: ReadingBounds) {
    this.#request = request
    this.#sink = sink
    this.#bounds = bounds
    this.#select = createSelector(request.shape, request.selection)
    this.#startedAtMs = request.monotonic()
    this.#size = request.page?.size ?? Infinity
  }

  ask(page: PagePosition | null): void {
    this.#calls += 1
    this.#page = page
    this.#pageBytes = 0
    this.#index = 0
    this.#lastId = null
    this.#resumption = new Resumption(page ?? start)
    this.#members = new Map()
    this.#splitter = new ItemSplitter(this.#request.shape.items, {
      item: (bytes) => this.#item(bytes),
      member: (name, value) => this.#members.set(name, value),
    })
    this.#request.fetch(page, this)
  }

  resume(): void {
    if (this.#output !== null) this.#output.hasRoom = true
    this.#flow?.resume()
  }

  abort(): void {
    this.#state = 'over'
    this.#flow?.abort()
  }

  attach(flow: ResponseSource): void {
    this.#flow = flow
    if (this.#state === 'over') flow.abort()
  }

  head(head: ResponseHead): void {
    if (this.#state !== 'reading') return
    const { selection } = this.#request
    switch (treatmentOf(head, selection.organizations !== 'all')) {
      case 'read':
        if (this.#output === null) this.#output = this.#open(head)
        else this.#output.heed(head)
        break
      case 'error':
        this.#failed(() => this.#pass({ ...head, fields: errorFields(head) }))
        break
      case 'pass':
        this.#pass(head)
        break
      case 'refuse':
        this.#refuse('it is no JSON of a list')
    }
  }

  data(chunk: Buffer): boolean {
    if (this.#state === 'passing') return this.#sink.data(chunk)
    this.#read(() => this.#splitter?.push(chunk), chunk.length)
    if (this.#state === 'reading' && this.#output?.isBegun === true) this.#output.pass()
    return this.#output?.hasRoom ?? true
  }

  end(last: Buffer | null): void {
    if (this.#state === 'passing') {
      this.#sink.end(last)
      return
    }
    if (last !== null) this.data(last)
    this.#read(() => {
      this.#splitter?.end()
      this.#pageIsRead()
    }, 0)
  }

  fail(problem: Problem): void {
    if (this.#state === 'passing') this.#sink.fail(problem)
    else if (this.#state === 'reading') this.#failed(() => this.#stop(problem))
  }

  #open(head: ResponseHead): Output {
    const { items } = this.#request.shape
    const output = new Output(this.#sink, { ...head, fields: filteredFields(head) })
    output.write(Buffer.from(items === null ? '[' : `{${JSON.stringify(items)}:[`))
    return output
  }

  /** The caller gets an error of the upstream as it is, or a short page where items were selected already. */
  #failed(otherwise: () => void): void {
    const { page } = this.#request
    if (this.#given === 0 || page === null) otherwise()
    else {
      this.#flow?.abort()
      this.#output?.unshare('partial')
      this.#finish(page, this.#here(), true)
    }
  }

  #pass(head: ResponseHead): void {
    this.#state = 'passing'
    this.#sink.head(head)
  }

  #read(step: () => void, bytes: number): void {
    if (this.#state !== 'reading') return
    try {
      this.#bytes += bytes
      this.#pageBytes += bytes
      if (this.#request.page !== null && this.#pageBytes > this.#bounds.maxBytes)
        throw new UnknownShape('a page of it is too large')
      step()
    } catch (error) {
      if (!(error instanceof UnknownShape)) throw error
      this.#refuse(error.message)
    }
  }

  #item(bytes: Buffer): void {
    const { bytes: selected, id } = this.#select(bytes)
    const here: PagePosition = { ...(this.#page ?? start), skip: this.#index, last: this.#lastId }
    this.#index += 1
    this.#lastId = id
    if (this.#resumption.isOpen) this.#resumption.pass(here, id, selected)
    else if (selected === null) this.#sawForeign = true
    else this.#give(selected, here)
  }

  #give(selected: Buffer, here: PagePosition): void {
    if (this.#given >= this.#size) this.#next ??= here
    else {
      if (this.#given > 0) this.#output?.write(comma)
      this.#output?.write(selected)
      this.#given += 1
    }
  }

  /** From where on nothing was given yet. */
  #here(): PagePosition {
    const page = this.#page ?? start
    return this.#next ?? (this.#resumption.isOpen ? page : { ...page, skip: this.#index, last: this.#lastId })
  }

  #pageIsRead(): void {
    const { page, shape } = this.#request
    if (page === null || shape.paging === null || this.#page === null) {
      this.#complete()
      return
    }
    for (const { selected, here } of this.#resumption.rest()) this.#give(selected, here)
    const more = this.#members.get(shape.paging.more) ?? false
    const cursor = this.#members.get(shape.paging.cursor) ?? null
    if (typeof more !== 'boolean' || (cursor !== null && typeof cursor !== 'string') || (more && cursor === null))
      throw new UnknownShape('it does not say how it goes on')
    if (more && cursor === this.#page.after) throw new UnknownShape('its pages go round in a circle')
    const behind: PagePosition = { after: cursor, size: this.#page.size, skip: 0, last: null }
    const isFull = this.#given >= this.#size
    if (this.#next !== null) this.#finish(page, this.#next, true)
    else if (!more) this.#finish(page, cursor === null || this.#given === 0 ? null : behind, false)
    else if (isFull && page.isNarrowed && !this.#sawForeign) this.#finish(page, behind, true)
    else if (this.#isExhausted()) this.#finish(page, behind, true)
    else this.#readOn({ ...behind, size: shape.paging.most })
  }

  #readOn(page: PagePosition): void {
    try {
      this.ask(page)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      // Nothing was sent upstream: the items so far are a page.
      this.#failed(() => this.#stop(error))
    }
  }

  #isExhausted(): boolean {
    const { maxCalls, maxBytes, maxMs } = this.#bounds
    const elapsedMs = this.#request.monotonic() - this.#startedAtMs
    return this.#calls >= maxCalls || this.#bytes >= maxBytes || elapsedMs >= maxMs
  }

  #finish({ start: { after, skip }, seal }: CallerPage, next: PagePosition | null, more: boolean): void {
    const isWhole = !more && after === null && skip === 0
    const cursor = next === null ? null : seal(next)
    this.#end(pageTail(this.#request.shape.paging, { cursor, more, total: isWhole ? this.#given : null }))
  }

  #complete(): void {
    this.#end(listTail(this.#request, this.#members))
  }

  #end(last: Buffer): void {
    this.#state = 'over'
    this.#output?.end(last)
  }

  #refuse(why: string): void {
    this.#flow?.abort()
    this.#stop(this.#request.refusal(why))
  }

  #stop(problem: Problem): void {
    this.#state = 'over'
    this.#sink.fail(problem)
  }
}

const start: PagePosition = { after: null, size: 0, skip: 0, last: null }
