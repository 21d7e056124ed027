// What the console reads from the operators' listener: routes over functions that answer from memory.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CacheStateView } from './state-views.ts'
import type { DecisionQuery, DecisionsView } from './decision-view.ts'
import type { NowView, SeriesView } from './now-view.ts'
import { QueryError, readDecisionQuery, refuseUnknown, type QueryFields } from './query.ts'

export interface ConsoleParts {
  readonly now: () => NowView
  readonly series: () => SeriesView
  readonly decisions: (query: DecisionQuery) => Promise<DecisionsView>
  readonly cache: () => CacheStateView
}

type Asked = FastifyRequest<{ Querystring: Record<string, unknown>; Params: { id: string } }>

/** A query that cannot be read is answered with 400 and a sentence. */
export function addConsoleApi(app: FastifyInstance, parts: ConsoleParts): void {
  const get = (path: string, answer: (query: QueryFields, asked: Asked) => unknown): void =>
    void app.get(path, async (request: Asked, reply) => {
      try {
        return reply.send(await answer(request.query, request))
      } catch (error) {
        return refused(reply, error)
      }
    })
  const simple = (path: string, answer: () => unknown): void =>
    get(path, (query) => {
      refuseUnknown(query, [])
      return answer()
    })
  simple('/api/now', parts.now)
  simple('/api/series', parts.series)
  simple('/api/cache', parts.cache)
  get('/api/decisions', (query) => parts.decisions(readDecisionQuery(query)))
}

function refused(reply: FastifyReply, error: unknown): FastifyReply {
  if (!(error instanceof QueryError)) throw error
  return reply.code(400).send({ error: error.message })
}
