// The recommended guardrails as they are shipped, held against the whole catalogue: what is dangerous is granted by its own id
// alone, and no field by which a caller could act as somebody else or pass an approval is forgotten.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Operation } from '../../src/catalogue/operation.ts'
import { ask, policyFrom, principalOf, wholeCatalogue } from '../support/policies.ts'

const file = new URL('../../policies/guardrails.recommended.yaml', import.meta.url)
const recommended = readFileSync(file, 'utf8')
const writes = wholeCatalogue.operations.filter(({ method }) => method !== 'GET')

function policyWith(...allow: readonly string[]) {
  return policyFrom(
    {
      'teams/all.yaml': `team: all
members: [{ groups: [eng] }]
organizations: all
grants: [{ id: run, allow: ${JSON.stringify(allow)} }]
`,
      'guardrails.recommended.yaml': recommended,
    },
    wholeCatalogue,
  )
}

describe('what is dangerous', () => {
  /** By what the addresses say, not by the list that is tested. */
  const forms: readonly RegExp[] = [
    /^DELETE \/\w+\/enterprise\/organizations\/\{org_id\}$/,
    /^(?:POST|PUT|PATCH|DELETE) .*\/ip-access-list$/,
    /^POST .*\/service-users$/,
    /^POST .*\/api-keys(?:\/\{\w+\}\/rotate)?$/,
    /^(?:DELETE|PUT) .*\/git-providers\/permissions$/,
  ]
  const dangerous = writes.filter(({ method, template }) => forms.some((form) => form.test(`${method} ${template}`)))
  const everyWord = ['*', 'ent.*', 'org.*', 'beta.*', ...new Set(writes.flatMap(({ permission }) => permission ?? []))]
  const wide = policyWith(...everyWord)
  const engineer = principalOf({ groups: ['eng'] })
  const requestOf = ({ method, template }: Operation): string => `${method} ${template.replaceAll(/\{\w+\}/g, 'org-a')}`

  test('is all that its addresses tell of', () => {
    expect(dangerous.map(({ id }) => id).sort()).toEqual([
      'beta.ent.service-users.api-keys.create',
      'beta.ent.service-users.api-keys.rotate',
      'beta.ent.service-users.create',
      'beta.org.service-users.create',
      'ent.ip-access-list.clear',
      'ent.ip-access-list.merge',
      'ent.ip-access-list.replace',
      'ent.organizations.delete',
      'ent.organizations.git-providers.permissions.clear',
      'ent.organizations.git-providers.permissions.replace',
    ])
  })

  test.each(dangerous)('is granted by no pattern and no permission, and by its own id: $id', (operation) => {
    expect(ask(wide, engineer, requestOf(operation)).decision).toMatchObject({ effect: 'deny', reason: 'guardrail' })
    const named = policyWith(...everyWord, operation.id)
    expect(ask(named, engineer, requestOf(operation)).decision.effect).toBe('allow')
  })
})

describe('tags that say for whom a session ran', () => {
  const taggers = writes.filter(({ id, fields }) => fields.includes('tags') && !id.startsWith('ent.organizations.'))
  const policy = policyWith('org.*', 'ent.*')
  const engineer = principalOf({ groups: ['eng'], app: 'cli' })
  const send = ({ method, template }: Operation, tags: unknown) =>
    ask(policy, engineer, `${method} ${template.replaceAll(/\{\w+\}/g, 'org-a')}`, { tags, max_acu_limit: 5 }).decision

  test('can be set by so many operations', () => {
    expect(taggers.map(({ id }) => id).sort()).toEqual([
      'ent.sessions.tags.append',
      'ent.sessions.tags.replace',
      'org.schedules.create',
      'org.schedules.update',
      'org.sessions.create',
      'org.sessions.tags.append',
      'org.sessions.tags.replace',
    ])
  })

  test.each(taggers)("are the caller's own, or the gateway's: $id", (operation) => {
    for (const tags of [['team:all', 'app:cli', 'urgent', 'teammates', 'application'], [], undefined])
      expect(send(operation, tags).effect).toBe('allow')
    for (const tags of [['team:payments'], ['urgent', 'APP:cli'], 'team:payments', [['team:payments']]])
      expect(send(operation, tags), JSON.stringify(tags)).toMatchObject({ effect: 'deny', reason: 'guardrail' })
  })
})

test('every field that acts as a person, passes an approval, carries a secret or bounds the cost is guarded wherever it is', () => {
  const { guardrails } = policyWith('*')
  const fields = [
    'create_as_user_id',
    'message_as_user_id',
    'run_as_user_id',
    'run_as',
    'bypass_approval',
    'session_secrets',
    'max_acu_limit',
  ]
  const found = writes.flatMap((operation) =>
    fields.filter((field) => operation.fields.includes(field)).map((field) => ({ operation, field })),
  )
  expect(new Set(found.map(({ field }) => field))).toEqual(new Set(fields))
  const open = found.filter(
    ({ operation, field }) =>
      !(guardrails.on(operation) ?? []).some(
        ({ mode, teams, apps, body }) =>
          mode === 'enforce' && teams === 'all' && apps === 'all' && body.some((rule) => rule.field === field),
      ),
  )
  expect(open.map(({ operation, field }) => `${operation.id} ${field}`)).toEqual([])
})
