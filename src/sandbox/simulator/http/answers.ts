// What the simulator answers: errors in the three forms that clients meet, and JSON in the coding the client asked for.

import type { Readable } from 'node:stream'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'

/** One entry of a 422 list, in the form FastAPI gives it. */
export interface ValidationIssue {
  readonly loc: readonly (string | number)[]
  readonly msg: string
  readonly type: string
}

/** A whole answer. Handlers return one where a JSON body with the operation's success code is not enough. */
export class Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | Readable | null

  constructor(status: number, headers: Readonly<Record<string, string>> = {}, body: Buffer | Readable | null = null) {
    this.status = status
    this.headers = headers
    this.body = body
  }
}

/** What a handler returns that has written to the raw response itself (event streams). */
export const ANSWERED = Symbol('answered')

/** A failure that becomes `application/problem+json` (RFC 9457); with issues, the 422 list stands in `detail` and `errors`. */
export class ApiError extends Error {
  readonly status: number
  readonly issues: readonly ValidationIssue[] | null

  constructor(status: number, detail: string, issues: readonly ValidationIssue[] | null = null) {
    super(detail)
    this.status = status
    this.issues = issues
  }
}

/** The error for bad input: one or many issues with the place (`body` or `query`) and the rule that was broken. */
export function invalid(issues: readonly ValidationIssue[]): ApiError {
  return new ApiError(422, issues.map((issue) => issue.msg).join('; '), issues)
}

/** The error for one breach. */
export function wrong(loc: ValidationIssue['loc'], msg: string, type: string): ApiError {
  return invalid([{ loc, msg, type }])
}

/** The error for one absent member of the body or parameter of the query. */
export function missing(...loc: string[]): ApiError {
  return wrong(loc, 'Field required', 'missing')
}

/** The error for an unknown id; it also stands for "not visible to you". */
export function notFound(what: string): ApiError {
  return new ApiError(404, `${what} not found`)
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
}

/** The problem document of an error. */
export function problemAnswer(error: ApiError, instance: string): Answer {
  const problem = {
    type: 'about:blank',
    title: titles[error.status] ?? 'Error',
    status: error.status,
    detail: error.issues ?? error.message,
    instance,
    errors: error.issues,
  }
  return jsonAnswer(error.status, problem, 'application/problem+json')
}

/** A JSON body; arrays and bare strings are bodies too. */
export function jsonAnswer(status: number, body: unknown, type = 'application/json'): Answer {
  return new Answer(status, { 'content-type': type }, Buffer.from(JSON.stringify(body)))
}

const codings = {
  br: (body: Buffer) => brotliCompressSync(body),
  gzip: (body: Buffer) => gzipSync(body),
  deflate: (body: Buffer) => deflateSync(body),
}

/** The answer in the best coding of `Accept-Encoding` (RFC 9110 section 12.5.3); as it is when the client names none. */
export function encodeAnswer(answer: Answer, acceptEncoding: string | undefined): Answer {
  if (!Buffer.isBuffer(answer.body) || acceptEncoding === undefined) return answer
  const wanted = new Map<string, number>()
  for (const part of acceptEncoding.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim())
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    wanted.set(name, quality === undefined ? 1 : Number(quality.slice(2)))
  }
  const weight = (name: string): number => wanted.get(name) ?? wanted.get('*') ?? 0
  const names = (['br', 'gzip', 'deflate'] as const).filter((name) => weight(name) > 0)
  const best = names.sort((a, b) => weight(b) - weight(a))[0]
  const headers = { ...answer.headers, vary: 'Accept-Encoding' }
  if (best === undefined) return new Answer(answer.status, headers, answer.body)
  return new Answer(answer.status, { ...headers, 'content-encoding': best }, codings[best](answer.body))
}
