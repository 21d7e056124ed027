// Requests that come without a response: what the parser refuses, and CONNECT. They are answered and recorded like others.

import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import type { Pipelines } from './pipelines.ts'
import { unparsable } from '../refusals/unparsable.ts'
import { answerFailure } from '../responses/own-answer.ts'
import type { ConnectionCut } from './connections.ts'
import { lingerBeforeClosing } from './linger.ts'

export interface UnreadRequestsParts {
  readonly pipelines: Pipelines
  readonly openContext: (request: IncomingMessage, response: ServerResponse) => RequestContext
  readonly onCut: (cause: ConnectionCut) => void
}

export function createUnreadRequests({ pipelines, openContext, onCut }: UnreadRequestsParts) {
  /** After its first error Node's parser reports every later byte as well. */
  const refused = new WeakSet<Socket>()

  function refuse(socket: Socket, problem: Problem): void {
    refused.add(socket)
    const request = new IncomingMessage(socket)
    const response = new ServerResponse(request)
    answerLast(request, response, socket, () => answerFailure(openContext(request, response), problem))
  }

  /** Answers when the requests before are answered, and closes the connection, also one on which more arrives. */
  function answerLast(request: IncomingMessage, response: ServerResponse, socket: Socket, answer: () => void): void {
    response.shouldKeepAlive = false
    // Without a listener the reset of a caller that does not wait would end the process.
    socket.on('error', () => {})
    response.once('finish', () => {
      response.emit('close')
      lingerBeforeClosing(socket)
    })
    const begin = (): void => {
      const isOpen = socket.writable
      if (isOpen) response.assignSocket(socket)
      answer()
      if (!isOpen) response.emit('close')
    }
    pipelines.enter({ request, response, begin, leave: begin, context: null })
  }

  return {
    /** An exchange of which no request was read. */
    refuse,
    /** A parser error is answered once, as the request it belongs to or as one of its own. */
    refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket): void {
      if (refused.has(socket)) return
      refused.add(socket)
      if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') onCut('head')
      if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') onCut('handshake')
      const plain = error.code === 'ERR_SSL_HTTP_REQUEST' ? socketBelow(socket) : null
      if (plain !== null) {
        refuse(plain, unparsable(error.code))
        return
      }
      // A connection that broke, or that was only opened, is no exchange.
      if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesRead === 0) {
        socket.destroy()
        return
      }
      const current = pipelines.latest(socket)
      if (current === null || current.request.complete) {
        refuse(socket, unparsable(error.code, current === null ? Reflect.get(error, 'rawPacket') : null))
        return
      }
      // The caller ended its side in the middle of the body: it has left.
      if (error.code === 'HPE_INVALID_EOF_STATE') {
        socket.destroy()
        return
      }
      const { context, request, response } = current
      response.shouldKeepAlive = false
      const problem = unparsable(error.code)
      if (context === null) {
        current.begin = () => answerFailure(openContext(request, response), problem)
        return
      }
      // Nothing was sent: the decision was about a request that turned out to be malformed, so it is dropped.
      if (context.keyVersion === null) context.evaluation = null
      answerFailure(context, problem)
    },
    /** CONNECT passes the stages like any other request. */
    connect(request: IncomingMessage, socket: Socket, route: (response: ServerResponse) => void): void {
      const response = new ServerResponse(request)
      answerLast(request, response, socket, () => route(response))
    },
  }
}

/** The connection below one that TLS has given up, kept open for an answer; null where there is none. */
function socketBelow(socket: Socket): Socket | null {
  const below: unknown = Reflect.get(socket, '_parent')
  if (!(below instanceof Socket) || !below.writable) return null
  // TLS closes it at once, before the answer is written; its first attempt is passed over.
  below.destroy = () => {
    Reflect.deleteProperty(below, 'destroy')
    return below
  }
  return below
}
