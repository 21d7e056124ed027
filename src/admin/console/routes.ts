// What the console reads from the operators' listener: routes over functions that answer from memory.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Explanation } from '../../policy/tools/explanation.ts'
import { readExplainRequest, type AskedExplanation } from './explain-request.ts'
import type { AuditCheckView, AuditView } from './policy-view.ts'
import type { TeamDetailView, TeamsView } from './team-view.ts'
import type { KeyReportView } from './key-report-view.ts'
import type { CacheStateView } from './state-views.ts'
import type { DecisionDetailView, DecisionQuery, DecisionsView } from './decision-view.ts'
import type { NowView, SeriesView } from './now-view.ts'
import type { AllowingView, MatrixQuery, MatrixView, PolicyChangesView } from './analysis-view.ts'
import { QueryError, readDecisionQuery, readMatrixQuery, refuseUnknown, type QueryFields } from './query.ts'

export interface ConsoleParts {
  readonly now: () => NowView
  readonly series: () => SeriesView
  readonly decisions: (query: DecisionQuery) => Promise<DecisionsView>
  /** Null where it is found nowhere. */
  readonly decision: (id: string) => Promise<DecisionDetailView | null>
  /** Null where the decision is found nowhere. */
  readonly whatWouldAllow: (id: string) => Promise<AllowingView | null>
  readonly matrix: (query: MatrixQuery) => Promise<MatrixView>
  /** Throws `QueryError` where the first set is in force. */
  readonly policyChanges: () => Promise<PolicyChangesView>
  readonly cache: () => CacheStateView
  readonly audit: () => AuditView
  /** Reads the files. Throws `QueryError` where they cannot be checked here. */
  readonly auditCheck: () => Promise<AuditCheckView>
  readonly keyReport: () => KeyReportView
  readonly teams: () => TeamsView
  readonly team: (id: string) => TeamDetailView | null
  /** Throws `QueryError` for what does not exist. */
  readonly explain: (asked: AskedExplanation) => Explanation
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
  simple('/api/audit', parts.audit)
  simple('/api/audit/check', parts.auditCheck)
  simple('/api/teams', parts.teams)
  simple('/api/keys/report', parts.keyReport)
  simple('/api/policies/changes', parts.policyChanges)
  const one = (path: string, what: string, answer: (id: string) => unknown): void =>
    get(path, async (query, { params: { id } }) => {
      refuseUnknown(query, [])
      const found = (await answer(id)) ?? null
      if (found === null) throw new QueryError(`There is no ${what} "${id.slice(0, 128)}" here.`, 404)
      return found
    })
  one('/api/teams/:id', 'team', parts.team)
  one('/api/decisions/:id', 'decision', parts.decision)
  one('/api/decisions/:id/what-would-allow', 'decision', parts.whatWouldAllow)
  get('/api/matrix', (query) => parts.matrix(readMatrixQuery(query)))
  get('/api/decisions', (query) => parts.decisions(readDecisionQuery(query)))
}

/** The body of a request to explain is read as text. */
export function addExplainApi(app: FastifyInstance, explain: ConsoleParts['explain']): void {
  app.post('/api/explain', (request, reply) => {
    try {
      return reply.send(explain(readExplainRequest(request.body)))
    } catch (error) {
      return refused(reply, error)
    }
  })
}

function refused(reply: FastifyReply, error: unknown): FastifyReply {
  if (!(error instanceof QueryError)) throw error
  return reply.code(error.status).send({ error: error.message })
}
