// Blocks on the operators' listener: GET lists them, POST makes one, DELETE ends one.

import type { FastifyInstance } from 'fastify'
import { actorOf } from './access/operator.ts'
import { askedFields } from './asked-fields.ts'
import { readBlockTarget, readWanted, type BlockTarget, type WantedBlock } from '../blocks/wanted.ts'

/** One block, as operators see it. Times in ISO 8601. */
export interface BlockView {
  readonly kind: string
  readonly value: string
  readonly reason: string
  readonly note: string | null
  readonly by: string
  readonly since: string
  /** Null: until somebody ends it. */
  readonly until: string | null
}

/** A block that was made or ended, and how far that has come. */
export interface ChangedBlock extends BlockView {
  readonly instances: number
  /** Instances that have not confirmed it within a second. */
  readonly unconfirmed: number
  /** False: the shared store has not been told yet. */
  readonly everywhere: boolean
  /** False: it could not be written to the disk. */
  readonly kept: boolean
  /** Sentences about what is not as it should be. */
  readonly notes: readonly string[]
}

export interface BlocksApi {
  readonly list: () => readonly BlockView[]
  readonly block: (wanted: WantedBlock) => Promise<ChangedBlock>
  readonly unblock: (
    target: BlockTarget,
    by: string,
  ) => Promise<ChangedBlock | { readonly status: number; readonly error: string }>
}

/** Fields come as JSON in the body, or as parameters of the query. */
export function addBlocksApi(app: FastifyInstance, blocks: BlocksApi): void {
  app.get('/api/blocks', (_request, reply) => reply.send(blocks.list()))
  app.post('/api/blocks', async (request, reply) => {
    const asked = askedFields(request)
    if ('error' in asked) return reply.code(400).send(asked)
    const wanted = readWanted(asked.fields, actorOf(request.operator))
    if ('error' in wanted) return reply.code(400).send({ error: `${wanted.field}: ${wanted.error}` })
    return reply.send(await blocks.block(wanted.value))
  })
  app.delete('/api/blocks', async (request, reply) => {
    const asked = askedFields(request)
    if ('error' in asked) return reply.code(400).send(asked)
    const target = readBlockTarget(asked.fields)
    if ('error' in target) return reply.code(400).send({ error: `${target.field}: ${target.error}` })
    const { by } = asked.fields
    const ended = await blocks.unblock(
      target.value,
      typeof by === 'string' && by !== '' ? by : actorOf(request.operator),
    )
    return 'error' in ended ? reply.code(ended.status).send({ error: ended.error }) : reply.send(ended)
  })
}
