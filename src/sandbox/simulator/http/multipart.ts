// The one part `file` of a multipart upload (RFC 7578) as a stream, whatever the size and however the bytes are cut.

import { missing, wrong } from './answers.ts'

/** The part named `file`, its contents still to be read. */
export interface FilePart {
  readonly name: string
  readonly contentType: string
  /** Must be read to its end; throws 422 when the upload breaks off before the closing boundary. */
  readonly chunks: AsyncIterable<Buffer>
}

/** Longest header block of a part, far above what clients send. */
const MAX_HEADER_BYTES = 16 * 1024

/** Reads up to the part named `file`. Throws 422 when the content type or the first part is something else. */
export async function readFilePart(source: AsyncIterable<Buffer>, contentType: string | undefined): Promise<FilePart> {
  const matched = /^multipart\/form-data;.*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType ?? '')
  const boundary = matched?.[1] ?? matched?.[2]
  if (boundary === undefined) throw noFile()
  const chunks = source[Symbol.asyncIterator]()
  let head = Buffer.from('\r\n')
  let end = -1
  while (end === -1) {
    const next = await chunks.next()
    if (next.done === true || head.length > MAX_HEADER_BYTES) throw noFile()
    head = Buffer.concat([head, next.value])
    end = head.indexOf('\r\n\r\n')
  }
  const fields = head.subarray(0, end).toString('utf8')
  if (!fields.startsWith(`\r\n--${boundary}\r\n`) || !/;\s*name="file"/i.test(fields)) throw noFile()
  return {
    name: /;\s*filename="([^"]*)"/i.exec(fields)?.[1] ?? 'file',
    contentType: /^content-type:\s*(.+)$/im.exec(fields)?.[1]?.trim() ?? 'application/octet-stream',
    chunks: untilBoundary(head.subarray(end + 4), chunks, Buffer.from(`\r\n--${boundary}`)),
  }
}

/** The contents, and then the rest of the body read to its end and dropped. */
async function* untilBoundary(first: Buffer, chunks: AsyncIterator<Buffer>, delimiter: Buffer): AsyncGenerator<Buffer> {
  let held = first
  for (;;) {
    const found = held.indexOf(delimiter)
    if (found !== -1) {
      yield held.subarray(0, found)
      break
    }
    // The last bytes may be the beginning of the delimiter; they wait for the next chunk.
    const safe = Math.max(0, held.length - delimiter.length)
    if (safe > 0) yield held.subarray(0, safe)
    const next = await chunks.next()
    if (next.done === true) throw wrong(['body'], 'The multipart body breaks off', 'multipart')
    held = Buffer.concat([held.subarray(safe), next.value])
  }
  while ((await chunks.next()).done !== true);
}

function noFile(): Error {
  return missing('body', 'file')
}
