// The pages under /gateway/ as a plugin: explanations of problems for everybody, two pages for verified callers.

import type { FastifyPluginCallback, RouteHandlerMethod } from 'fastify'
import { problemKinds, type ProblemKindName } from '../../problem-kinds.ts'
import { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import { answerJson, answerProblemPage } from '../responses/own-answer.ts'
import { hookOf, type Stage, type StageResult } from '../stages/stage.ts'
import { explainPage, type ExplainParts } from './explain.ts'
import { describeCaller, type MeParts } from './me.ts'

export interface OwnPagesParts extends MeParts, ExplainParts {
  /** The stages that say who asks. */
  readonly identify: readonly Stage[]
}

/** Registered under the prefix to which the router sends every target below /gateway/. */
export function createOwnPages(parts: OwnPagesParts): FastifyPluginCallback {
  const ownPage = hookOf({ name: 'own-page', run: (context) => answerOwnPage(context, parts) })
  return (app, _options, done) => {
    app.addHook('onRequest', hookOf({ name: 'own-page', run: answerProblemPageOf }))
    for (const stage of parts.identify) app.addHook('onRequest', hookOf(stage))
    app.all('/', { preHandler: ownPage }, unreachable)
    app.setNotFoundHandler({ preHandler: ownPage }, unreachable)
    done()
  }
}

/** The stage before it answers every request or refuses it. */
const unreachable: RouteHandlerMethod = () => {
  throw new Error('no page has answered')
}

function answerProblemPageOf(context: RequestContext): StageResult {
  const [, version, page, kind, ...rest] = context.target.segments
  const isPage = version === 'v1' && page === 'problems' && rest.length === 0 && context.isRead
  if (!isPage || (kind !== undefined && !Object.hasOwn(problemKinds, kind))) return undefined
  context.ownPage = 'gateway.problems'
  // Just checked to be a key of the table.
  answerProblemPage(context, (kind ?? null) as ProblemKindName | null)
  return undefined
}

function answerOwnPage(context: RequestContext, parts: OwnPagesParts): StageResult | Promise<StageResult> {
  const { policy, principal, target } = context
  const page = target.segments.slice(1).join('/')
  if (!context.isRead || principal === null || (page !== 'v1/me' && page !== 'v1/explain')) return unknownPage()
  if (page === 'v1/me') {
    context.ownPage = 'gateway.me'
    return describeCaller(policy, principal, parts).then(({ page: described, limitFields }) => {
      context.limitFields = limitFields
      return show(context, described)
    })
  }
  context.ownPage = 'gateway.explain'
  return explainPage(policy, principal, target.query, parts).then((found) => show(context, found))
}

function show(context: RequestContext, value: unknown): StageResult {
  if (context.isOpen) answerJson(context, value)
  return undefined
}

function unknownPage(): Problem {
  return new Problem(
    'unknown-operation',
    'Under /gateway/ there are only GET /gateway/v1/me, GET /gateway/v1/explain, GET /gateway/v1/problems and GET /gateway/v1/problems/{kind}.',
  )
}
