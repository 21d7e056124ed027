// Stage: refuses callers whom operators have blocked, before anything is held for them.

import { lookAgain, type Blocks } from '../blocking/refusals.ts'
import type { Stage } from './stage.ts'

export function createCheckBlocks(blocks: Blocks): Stage {
  return { name: 'check-blocks', run: (context) => lookAgain(context, blocks) }
}
