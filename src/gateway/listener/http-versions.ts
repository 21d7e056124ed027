// Where HTTP/1.1 and HTTP/2 differ: whether a body follows, whether a caller has left, how a response is cut off.

import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { lingerBeforeClosing } from './linger.ts'

/** The stream of an HTTP/2 message, or null: Node's compatibility layer hides it behind the types of HTTP/1. */
function streamOf(message: IncomingMessage | ServerResponse): ServerHttp2Stream | null {
  return 'stream' in message ? (message.stream as ServerHttp2Stream) : null
}

/** The session of an HTTP/2 request; null by HTTP/1, and when it is gone. */
export function sessionOf(message: IncomingMessage | ServerResponse): ServerHttp2Session | null {
  return (streamOf(message)?.session as ServerHttp2Session | undefined) ?? null
}

export function isHttp2(message: IncomingMessage | ServerResponse): boolean {
  return 'stream' in message
}

/** HTTP/2 announces a body by neither length nor coding: only the end of the stream shows that there is none. */
export function bodyFollows(request: IncomingMessage): boolean {
  const stream = streamOf(request)
  return stream !== null && !stream.endAfterHeaders
}

/** True when the body ended because the caller gave up, although the stream says that it has ended. */
export function wasCutOff(request: IncomingMessage): boolean {
  const stream = streamOf(request)
  return stream === null ? !request.complete : stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR
}

/** Nothing more of a request is read: its connection is closed, by HTTP/2 its stream. */
export function giveUp(request: IncomingMessage): void {
  const stream = streamOf(request)
  if (stream === null) request.destroy()
  else stream.close(constants.NGHTTP2_CANCEL)
}

/**
 * Calls once when the caller has the answer or has left. By HTTP/2 that is the end of the stream: Node's compatibility layer
 * tells nothing of a HEAD request whose caller leaves before the answer.
 */
export function onceClosed(response: ServerResponse, listener: () => void): void {
  const stream = streamOf(response)
  if (stream === null) response.once('close', listener)
  else stream.once('close', listener)
}

/** True when the caller did not get the whole answer. */
export function hasLeft(response: ServerResponse): boolean {
  const stream = streamOf(response)
  return !response.writableFinished || (stream !== null && stream.rstCode !== constants.NGHTTP2_NO_ERROR)
}

/** What is still to come of the request is not read: the connection ends with the answer, by HTTP/2 the stream. */
export function leaveUnread(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete) return
  const stream = streamOf(response)
  if (stream === null) {
    response.shouldKeepAlive = false
    const { socket } = request
    // Node closes with this after the last answer.
    socket.destroySoon = () => lingerBeforeClosing(socket)
  } else if (!stream.endAfterHeaders) stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR))
}

/**
 * Sets the head of an answer, which leaves with the first bytes of its body, with its end, or with `flushHeaders`. Node's
 * `writeHead` does so by HTTP/1 alone; by HTTP/2 it sends the head at once, and an answer without a body is complete then.
 */
export function setHead(response: ServerResponse, status: number, fields: string[]): void {
  if (!isHttp2(response)) {
    response.writeHead(status, fields)
    return
  }
  response.statusCode = status
  // Left by a head that could not be set to its end.
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  for (let index = 0; index < fields.length; index += 2)
    response.appendHeader(fields[index] ?? '', fields[index + 1] ?? '')
}

/** Ends an answer whose head is out so that the caller cannot take it for complete. */
export function breakOff(response: ServerResponse): void {
  const stream = streamOf(response)
  if (stream === null) response.destroy()
  else stream.close(constants.NGHTTP2_INTERNAL_ERROR)
}
