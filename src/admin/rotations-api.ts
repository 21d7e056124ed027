// Rotations of keys on the operators' listener: GET lists them, POST begins one, takes one up, goes back, or shows what would be done.

import type { FastifyInstance } from 'fastify'
import { askedFields } from './asked-fields.ts'
import { parseDuration } from '../config/units.ts'
import type { WantedRotation } from '../keys/rotation/asked.ts'
import type { RotationPlanView, RotationView } from './rotation-views.ts'

const actions = ['begin', 'resume', 'undo', 'plan'] as const

export interface AskedRotation extends WantedRotation {
  readonly action: (typeof actions)[number]
}

export interface RotationsApi {
  readonly list: () => Promise<readonly RotationView[]>
  readonly ask: (asked: AskedRotation) => Promise<{
    readonly status: number
    readonly body: RotationView | RotationPlanView | { readonly error: string; readonly reasons: readonly string[] }
  }>
}

const actor = "operators' listener"

export function addRotationsApi(app: FastifyInstance, rotations: RotationsApi): void {
  app.get('/api/rotations', async (_request, reply) => reply.send(await rotations.list()))
  app.post('/api/rotations', async (request, reply) => {
    const said = askedFields(request)
    if ('error' in said) return reply.code(400).send(said)
    const asked = readAsked(said.fields)
    if (typeof asked === 'string') return reply.code(400).send({ error: asked })
    const { status, body } = await rotations.ask(asked)
    return reply.code(status).send(body)
  })
}

/** What is asked for, or what is wrong with it, as a sentence. */
export function readAsked(found: Readonly<Record<string, unknown>>): AskedRotation | string {
  const { key, action = 'begin', by = actor, old_key: oldApiKey = null, settle = null, ...others } = found
  const [stray] = Object.keys(others)
  if (stray !== undefined) return `${stray}: there are key, action, by, old_key and settle here`
  if (typeof key !== 'string' || key === '') return 'key: name a key of the inventory'
  const wanted = actions.find((each) => each === action)
  if (wanted === undefined) return `action: it is one of ${actions.join(', ')}`
  if (typeof by !== 'string' || by === '') return 'by: say who asks'
  if (oldApiKey !== null && (typeof oldApiKey !== 'string' || oldApiKey === ''))
    return 'old_key: name the id of an API key at Devin'
  if (settle === null) return { action: wanted, key, by, oldApiKey, settleMs: null }
  const parsed = typeof settle === 'string' ? parseDuration(settle) : { error: 'write it like 30s' }
  if ('error' in parsed) return `settle: ${parsed.error}`
  return { action: wanted, key, by, oldApiKey, settleMs: parsed.value }
}
