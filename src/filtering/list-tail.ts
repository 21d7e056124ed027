// What follows the items of a filtered list. Pure.

import type { Paging } from '../catalogue/operation.ts'
import { serializeStrictJson, type StrictJson } from '../json/value.ts'
import type { ListRequest } from './paging/list-request.ts'

const closeList = Buffer.from(']')

/** The end of a caller's page. `total` is null where it is not known that these are all. */
export function pageTail(
  paging: Paging | null,
  { cursor, more, total }: { readonly cursor: string | null; readonly more: boolean; readonly total: number | null },
): Buffer {
  const tail = {
    [paging?.cursor ?? 'end_cursor']: cursor,
    [paging?.more ?? 'has_next_page']: more,
    [paging?.total ?? 'total']: total,
  }
  return Buffer.from(`],${JSON.stringify(tail).slice(1)}`)
}

/** The end of a list that came whole. Other members could reveal filtered items: they stay where nothing was filtered. */
export function listTail({ shape, selection }: ListRequest, members: ReadonlyMap<string, StrictJson>): Buffer {
  if (shape.items === null) return closeList
  const others = selection.organizations === 'all' ? members : new Map<string, StrictJson>()
  const tail = serializeStrictJson(Object.fromEntries(others)).subarray(1)
  return Buffer.concat([Buffer.from(others.size === 0 ? ']' : '],'), tail])
}
