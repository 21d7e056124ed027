// Attachments: multipart upload, and download by redirect to a presigned address that lives a minute.

import { Answer } from '../http/answers.ts'
import type { Handlers } from '../state/call.ts'
import { readFilePart } from '../http/multipart.ts'
import type { ObjectStore } from '../state/objects.ts'
import { mustFind } from '../state/state.ts'

const PRESIGNED_MS = 60_000

/** Handlers of the upload and the download; `origin` is where the simulator listens, for absolute addresses. */
export function attachmentHandlers(objects: ObjectStore, origin: () => string): Handlers {
  const names = new Map<string, string>()
  return {
    'org.attachments.upload': async ({ request, owner }) => {
      const part = await readFilePart(request, request.headers['content-type'])
      const { id } = await objects.put(part.chunks, part.contentType)
      names.set(`${owner} ${id} ${part.name}`, id)
      const path = `/v3/organizations/${owner}/attachments/${id}/${encodeURIComponent(part.name)}`
      return { attachment_id: id, name: part.name, url: origin() + path }
    },
    'org.attachments.download': (call) => {
      const id = mustFind(names, `${call.owner} ${call.parameter('uuid')} ${call.parameter('name')}`, 'Attachment')
      return new Answer(307, { location: origin() + objects.presign(id, call.nowMs + PRESIGNED_MS) })
    },
  }
}
