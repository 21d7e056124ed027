// The request for a filtered list: the caller's page, how the upstream is asked, and bounds on further pages. Types only.

import type { ResponseSink } from '../../cache/response-stream.ts'
import type { AnswerShape } from '../../catalogue/operation.ts'
import type { Problem } from '../../problems.ts'
import type { PagePosition } from './cursor.ts'
import type { Selection } from '../selection.ts'

export interface CallerPage {
  readonly size: number
  readonly start: PagePosition
  /** The upstream is asked for these organizations only: as long as it keeps to that, its pages are the caller's. */
  readonly isNarrowed: boolean
  seal(position: PagePosition): string
}

export interface ListRequest {
  readonly shape: AnswerShape
  readonly selection: Selection
  /** Null for a list that comes whole, and where nothing is filtered by organization: then the upstream's page is the caller's. */
  readonly page: CallerPage | null
  /** Asks the upstream for a page, or (null) for what the caller asked. May throw a Problem. */
  fetch(page: Pick<PagePosition, 'after' | 'size'> | null, sink: ResponseSink): void
  refusal(why: string): Problem
  monotonic(): number
}

export interface ReadingBounds {
  /** Reading on ends after so many calls, so many bytes or so long; the page is shorter then, and says that more follows. */
  readonly maxCalls: number
  readonly maxBytes: number
  readonly maxMs: number
}
