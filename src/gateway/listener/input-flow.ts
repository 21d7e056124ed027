// Stops and starts reading at a connection's handle, below its stream: a stream that is only paused goes on reading until its buffers
// are full, more than 100 KiB over TLS. Node documents none of it.

import type { Socket } from 'node:net'

export function stopInput(socket: Socket): void {
  callOfHandle(socket, 'readStop')
}

/** Bytes that come now go to the stream, as before. */
export function startInput(socket: Socket): void {
  callOfHandle(socket, 'readStart')
}

function callOfHandle(socket: Socket, name: 'readStop' | 'readStart'): void {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) return
  const call: unknown = Reflect.get(handle, name)
  if (typeof call === 'function') Reflect.apply(call, handle, [])
}
