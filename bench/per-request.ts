// What blocks and a shadow set cost each request, without sockets: `node bench/per-request.ts`. Times of one request, the median of
// rounds; the first row is what measuring itself takes.

import { setImmediate as turn } from 'node:timers/promises'
import { parseTarget } from '../src/catalogue/target.ts'
import { slotOf, blockKinds, type Block } from '../src/blocks/block.ts'
import { BlockList } from '../src/blocks/block-list.ts'
import { createShadowDecisions } from '../src/gateway/shadow/shadow-decisions.ts'
import type { RequestContext } from '../src/gateway/context.ts'
import { createCheckBlocks } from '../src/gateway/stages/check-blocks.ts'
import { evaluate } from '../src/policy/decision/evaluate.ts'
import { operationOf, policyFrom, principalOf } from '../test/support/policies.ts'
import { quantile } from './statistics.ts'

const rounds = 15

const teamOf = (allow: string): string =>
  `team: t\nmembers: [{ groups: [g] }]\norganizations: [org-a]\ngrants: [{ id: all, allow: [${allow}] }]\n`
const keys =
  'keys: [{ id: k, scope: organization, organization: org-a, permissions: [ViewOrgSessions], secret: { env: K } }]\n'
const inForce = policyFrom({ 'teams/t.yaml': teamOf('org.*'), 'keys.yaml': keys })
const alike = policyFrom({ 'teams/t.yaml': teamOf('ViewOrgSessions'), 'keys.yaml': keys })

const principal = principalOf({
  subject: 'ann',
  issuer: 'https://sso.corp.example',
  groups: ['g'],
  app: 'bot',
  claims: { jti: 'token-1' },
})
const operation = operationOf('org.sessions.list')
const target = parseTarget('/v3/organizations/org-a/sessions')
const evaluated = () => evaluate(inForce, principal, operation, target)

/** As far as the stage and the shadow set look at it. */
function contextOf(evaluation: RequestContext['evaluation']): RequestContext {
  const known = { principal, evaluation, receivedBody: null, problem: null, decisionId: 'd', method: 'GET', target }
  const fields = { bodyLength: 0 }
  return {
    ...known,
    fields,
    devinUser: undefined,
    startedAtMs: performance.now(),
    policy: inForce,
  } as unknown as RequestContext
}

function blocksOf(count: number) {
  const list = new BlockList(Date.now)
  const blocks = Array.from({ length: count }, (_, index): Block => {
    // Nobody of them asks.
    const kind = blockKinds[index % blockKinds.length] ?? 'subject'
    return {
      kind,
      value: `other-${index}`,
      reason: 'r',
      note: null,
      by: 'b',
      sinceMs: 0,
      untilMs: Date.now() + 3_600_000,
    }
  })
  list.replace(new Map(blocks.map((block) => [slotOf(block.kind, block.value), block])))
  return createCheckBlocks({ list, whenRecent: () => null })
}

/** Nanoseconds of one call, the median of rounds. */
async function nanoseconds(count: number, round: () => void | Promise<void>): Promise<number> {
  const found: number[] = []
  for (let index = 0; index < rounds; index += 1) {
    const startedMs = performance.now()
    await round()
    found.push(((performance.now() - startedMs) * 1e6) / count)
  }
  return quantile(Float64Array.from(found), 0.5)
}

const say = (what: string, ns: number): void => console.log(`${what.padEnd(64)}${ns.toFixed(0).padStart(8)} ns`)

const many = 200_000
const context = contextOf(null)
const stages: readonly [string, { run: (context: RequestContext) => unknown }][] = [
  ['a stage that does nothing', { run: () => undefined }],
  ['check-blocks, nobody blocked', blocksOf(0)],
  ['check-blocks, one blocked', blocksOf(1)],
  ['check-blocks, 10,000 blocked', blocksOf(10_000)],
]
for (const [what, stage] of stages) {
  say(
    what,
    await nanoseconds(many, () => {
      for (let index = 0; index < many; index += 1)
        if (stage.run(context) !== undefined) throw new Error('nobody is blocked')
    }),
  )
}

/** Every request of a round is noted, and decided in turns of the event loop. */
async function shadowed(shadow: typeof alike | null, next: () => RequestContext): Promise<number> {
  const batch = 500
  const decisions =
    shadow === null
      ? null
      : createShadowDecisions({
          shadow: () => shadow,
          inForce: () => inForce,
          meter: { shadowDecision: () => {}, shadowDisagreement: () => {} },
          now: Date.now,
          monotonic: () => performance.now(),
          maxJudgedBytes: 1_000_000,
          onDefect: (error) => {
            throw error
          },
        })
  let noted = 0
  return await nanoseconds(20 * batch, async () => {
    for (let done = 0; done < 20; done += 1) {
      const contexts = Array.from({ length: batch }, next)
      for (const each of contexts) decisions?.note(each)
      noted += batch
      if (decisions !== null) while (decisions.counts.decided < noted) await turn()
    }
  })
}

// As gateway/app.ts ends an exchange.
const off: { readonly shadow: { note(context: RequestContext): void } | null } = JSON.parse('{"shadow":null}')
say(
  'no shadow set',
  await nanoseconds(many, () => {
    for (let index = 0; index < many; index += 1) off.shadow?.note(context)
  }),
)
const shared = evaluated()
const withoutSet = await shadowed(null, () => contextOf(shared))
const again = await shadowed(alike, () => contextOf(shared))
const fresh = await shadowed(null, () => contextOf(evaluated()))
const anew = await shadowed(alike, () => contextOf(evaluated()))
say('shadow set, of a repeated request', again - withoutSet)
say('shadow set, of a request that is new to it', anew - fresh)
