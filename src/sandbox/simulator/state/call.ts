// One call of the simulated API as the handlers see it, and the shape of their tables.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OperationEntry } from '../../../catalogue/data.ts'
import type { ServiceUser } from '../company/directory.ts'
import type { Item } from './item.ts'

/** What a handler gets: the authorized call with its checked body and its instant. */
export interface Call {
  readonly operation: OperationEntry
  /** A path parameter, percent-decoded. */
  parameter(name: string): string
  readonly query: URLSearchParams
  /** The JSON body, checked against the documented members; empty when there is none. */
  readonly body: Item
  readonly caller: ServiceUser
  /** Organization of the path, or `enterprise`: the shelf on which the objects of this call stand. */
  readonly owner: string
  readonly nowMs: number
  /** The same instant in whole seconds, the unit of nearly all times in the API. */
  readonly seconds: number
  /** The raw exchange, for uploads (the unread body) and event streams. */
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** Returns the JSON body to answer with the operation's success code, `null` for no body, or an Answer. */
export type Handler = (call: Call) => unknown

/** Handlers by operation id. */
export type Handlers = Readonly<Record<string, Handler>>
