// The object store behind downloads: contents reached by presigned addresses that need no credential and soon expire.
// Uploads are spooled to a temporary folder, so their size does not matter; it is removed when the simulator closes.

import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Answer } from '../http/answers.ts'

/** First segment of presigned addresses; no path of the API begins like it. */
export const OBJECTS_PATH = '/_objects/'

/** Contents by id, handed out through presigned addresses. */
export interface ObjectStore {
  /** Keeps the chunks and gives the id and the number of bytes. */
  put(chunks: AsyncIterable<Buffer>, contentType: string): Promise<{ id: string; bytes: number }>
  /** Path and query of a presigned address. */
  presign(id: string, untilMs: number): string
  /** Answers a presigned address: 403 when the signature is wrong or the time is over. */
  serve(path: string, query: URLSearchParams, nowMs: number): Answer
  close(): Promise<void>
}

/** An empty store with a signing key of its own. */
export function createObjectStore(): ObjectStore {
  const secret = randomBytes(32)
  const types = new Map<string, string>()
  let folder: Promise<string> | null = null
  const sign = (id: string, until: string): string =>
    createHmac('sha256', secret).update(`${id} ${until}`).digest('hex')
  return {
    async put(chunks, contentType) {
      folder ??= mkdtemp(join(tmpdir(), 'devin-simulator-'))
      const id = randomUUID()
      const file = createWriteStream(join(await folder, id))
      await pipeline(Readable.from(chunks), file)
      types.set(id, contentType)
      return { id, bytes: file.bytesWritten }
    },
    presign(id, untilMs) {
      const until = String(untilMs)
      return `${OBJECTS_PATH}${id}?X-Expires=${until}&X-Signature=${sign(id, until)}`
    },
    serve(path, query, nowMs) {
      const id = path.slice(OBJECTS_PATH.length)
      const until = query.get('X-Expires') ?? ''
      const type = types.get(id)
      const valid = query.get('X-Signature') === sign(id, until) && Number(until) > nowMs
      if (!valid || type === undefined || folder === null) return denied()
      const kept = folder
      const body = Readable.from(
        (async function* contents() {
          yield* createReadStream(join(await kept, id))
        })(),
      )
      return new Answer(200, { 'content-type': type }, body)
    },
    async close() {
      if (folder !== null) await rm(await folder, { recursive: true, force: true })
    },
  }
}

/** Object stores answer in XML. */
function denied(): Answer {
  const xml = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
  return new Answer(403, { 'content-type': 'application/xml' }, Buffer.from(xml))
}
