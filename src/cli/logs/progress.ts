// How far the reading of logs has come, on a terminal.

import { plural } from '../../config/plural.ts'

type Progress = (decisions: number, bytes: number, total: number | null) => void

const everyMs = 200

/** Writes one line that is renewed, and nothing where the stream is no terminal. `end` takes it away. */
export function showProgress(err: NodeJS.WritableStream): { readonly tell: Progress; readonly end: () => void } {
  if (!('isTTY' in err) || err.isTTY !== true) return { tell: () => {}, end: () => {} }
  let shownAt = 0
  return {
    tell(decisions, bytes, total) {
      const now = performance.now()
      if (now - shownAt < everyMs) return
      shownAt = now
      const share = total === null || total === 0 ? '' : `, ${Math.floor((bytes / total) * 100)} %`
      err.write(`\r${decisions.toLocaleString('en')} ${plural(decisions, 'decision')}${share}\u001b[K`)
    },
    end: () => void err.write('\r\u001b[K'),
  }
}
