// Stage: a small body that nobody judges is collected, so that it leaves in one write. A larger one is left to stream.

import { collectSmall } from '../body.ts'
import type { RequestContext } from '../context.ts'
import type { StageResult } from './stage.ts'

export function readBody(context: RequestContext): StageResult | Promise<StageResult> {
  if (context.receivedBody !== null) return undefined
  const body = collectSmall(context)
  if (!(body instanceof Promise)) {
    context.receivedBody = body
    return undefined
  }
  return body.then((read) => {
    context.receivedBody = read
    return undefined
  })
}
