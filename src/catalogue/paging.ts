// How lists of the API are paged by cursor.

import type { Paging } from './operation.ts'

/** The documented paging: pages of at most 200 items, 100 by default. */
export const cursorPaging: Paging = {
  size: 'first',
  usual: 100,
  most: 200,
  after: 'after',
  cursor: 'end_cursor',
  more: 'has_next_page',
  total: 'total',
}
