// A published document against the catalogue: a document that says the same drifts in nothing, and each change of it is
// found, that and nothing else.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { compileCatalogue } from '../../src/catalogue/catalogue.ts'
import { devinApi, type OperationEntry } from '../../src/catalogue/data.ts'
import { compare, type Drift } from '../../src/catalogue/drift/compare.ts'
import { readOpenApi } from '../../src/catalogue/drift/document.ts'
import { propose } from '../../src/catalogue/drift/proposal.ts'
import { readExtension } from '../../src/catalogue/extension.ts'
import { formatDiagnostic, Refused } from '../../src/config/diagnostics.ts'
import { bodyName, describeApi, type Described, type DescribedApi, type Json } from '../support/openapi.ts'

const { catalogue } = compileCatalogue({ data: devinApi, stability: ['stable', 'beta'], extensions: [] })
const { operations } = devinApi

function operation(id: string): OperationEntry {
  const found = operations.find((entry) => entry.id === id)
  if (found === undefined) throw new Error(`no operation ${id}`)
  return found
}

function driftOf(text: string): Drift {
  return compare(readOpenApi('spec', text), catalogue)
}

/** What was found, one line for each. */
function lines(drift: Drift): string[] {
  return [
    ...drift.new.map(({ method, path }) => `new ${method} ${path}`),
    ...drift.changed.flatMap(({ operation: { id }, differences }) =>
      differences.map((each) => {
        const more =
          each.change === 'values'
            ? ` +${each.new.join('+')} -${each.vanished.join('-')}`
            : each.change === 'changed'
              ? ` ${each.what} ${each.from} ${each.to}`
              : ''
        return `changed ${id} ${each.in} ${each.name} ${each.change}${more}`
      }),
    ),
    ...drift.vanished.map(({ id }) => `vanished ${id}`),
  ]
}

function problems(text: string): string[] {
  try {
    driftOf(text)
  } catch (error) {
    if (error instanceof Refused) return error.diagnostics.map(formatDiagnostic)
    throw error
  }
  return []
}

function described(api: DescribedApi, { method, path }: OperationEntry): Described {
  const found = api.paths[path]?.[method.toLowerCase()]
  if (found === undefined) throw new Error(`no ${method} ${path}`)
  return found
}

function bodyOf(api: DescribedApi, id: string): { required: string[]; properties: Record<string, Json> } {
  return api.components.schemas[bodyName(id)] as never
}

/** The schema of a member, below the alternative that is not null. */
function inner(schema: Json): Json {
  const [first] = (schema['anyOf'] ?? []) as Json[]
  return first ?? schema
}

interface Mutation {
  readonly name: string
  readonly applies: (entry: OperationEntry) => boolean
  /** Changes the document, and says which lines the change must give. */
  readonly apply: (api: DescribedApi, entry: OperationEntry) => string
}

const confirmed = (entry: OperationEntry, names: readonly string[]) =>
  names.find((name) => !entry.unconfirmed.includes(name))
const valued = (entry: OperationEntry, place: string) => entry.values.find((set) => set.in === place)

const mutations: readonly Mutation[] = [
  {
    name: 'an operation that vanishes',
    applies: ({ stability }) => stability !== 'removed?',
    apply: (api, { id, method, path }) => {
      delete api.paths[path]?.[method.toLowerCase()]
      return `vanished ${id}`
    },
  },
  {
    name: 'a new operation',
    applies: ({ path }) => !path.endsWith('}'),
    apply: (api, entry) => {
      const path = `${entry.path}/fresh-${entry.method.toLowerCase()}`
      api.paths[path] = { post: { ...described(api, entry) } }
      return `new POST ${path}`
    },
  },
  {
    name: 'a new query parameter',
    applies: () => true,
    apply: (api, entry) => {
      described(api, entry).parameters.push({ name: 'fresh', in: 'query', required: false, schema: {} })
      return `changed ${entry.id} query fresh new`
    },
  },
  {
    name: 'a query parameter that vanishes',
    applies: (entry) => confirmed(entry, entry.query) !== undefined,
    apply: (api, entry) => {
      const name = confirmed(entry, entry.query) ?? ''
      const found = described(api, entry)
      found.parameters = found.parameters.filter((each) => each.name !== name)
      return `changed ${entry.id} query ${name} vanished`
    },
  },
  {
    name: 'a path parameter of another name',
    applies: ({ path }) => path.includes('{devin_id}') && path.endsWith('{devin_id}'),
    apply: (api, entry) => {
      const { [entry.method.toLowerCase()]: moved, ...rest } = api.paths[entry.path] ?? {}
      api.paths[entry.path] = rest
      const path = entry.path.replace('{devin_id}', '{session}')
      if (moved !== undefined) api.paths[path] = { ...api.paths[path], [entry.method.toLowerCase()]: moved }
      return `changed ${entry.id} path devin_id changed name devin_id session`
    },
  },
  {
    name: 'a new body field',
    applies: ({ body }) => body.length > 0,
    apply: (api, { id }) => {
      bodyOf(api, id).properties['fresh'] = { type: 'string' }
      return `changed ${id} body fresh new`
    },
  },
  {
    name: 'a body field that vanishes',
    applies: (entry) =>
      entry.body.length > 1 &&
      confirmed(
        entry,
        entry.body.map(({ name }) => name),
      ) !== undefined,
    apply: (api, entry) => {
      const name =
        confirmed(
          entry,
          entry.body.map((each) => each.name),
        ) ?? ''
      delete bodyOf(api, entry.id).properties[name]
      return `changed ${entry.id} body ${name} vanished`
    },
  },
  {
    name: 'a body field that becomes required, or optional',
    applies: ({ body }) => body.length > 0,
    apply: (api, { id, body }) => {
      const [{ name, required } = { name: '', required: false }] = body
      const schema = bodyOf(api, id)
      schema.required = required ? schema.required.filter((each) => each !== name) : [...schema.required, name]
      return `changed ${id} body ${name} changed required ${required} ${!required}`
    },
  },
  {
    name: 'a body field of another type',
    applies: ({ body }) => /^(string|enum)[^[]*$/.test(body[0]?.type ?? ''),
    apply: (api, { id, body }) => {
      const [{ name } = { name: '' }] = body
      const { enum: _values, ...rest } = inner(bodyOf(api, id).properties[name] ?? {})
      bodyOf(api, id).properties[name] = { ...rest, type: 'object' }
      return `changed ${id} body ${name} changed type text object`
    },
  },
  ...(['query', 'body'] as const).flatMap((place): Mutation[] => {
    const schemaOf = (api: DescribedApi, entry: OperationEntry, name: string): Json =>
      place === 'query'
        ? (described(api, entry).parameters.find((each) => each.name === name)?.schema ?? {})
        : inner(bodyOf(api, entry.id).properties[name] ?? {})
    return [
      {
        name: `a new value in the ${place}`,
        applies: (entry) => valued(entry, place) !== undefined,
        apply: (api, entry) => {
          const { name, values } = valued(entry, place) ?? { name: '', values: [] }
          schemaOf(api, entry, name)['enum'] = [...values, 'fresh']
          return `changed ${entry.id} ${place} ${name} values +fresh -`
        },
      },
      {
        name: `a value that vanishes from the ${place}`,
        applies: (entry) => valued(entry, place) !== undefined,
        apply: (api, entry) => {
          const { name, values } = valued(entry, place) ?? { name: '', values: [] }
          schemaOf(api, entry, name)['enum'] = values.slice(1)
          return `changed ${entry.id} ${place} ${name} values + -${values[0] ?? ''}`
        },
      },
    ]
  }),
  {
    name: 'another permission',
    applies: ({ permission }) => permission !== null,
    apply: (api, entry) => {
      described(api, entry)['x-permission'] = 'ManageFreshThings'
      return `changed ${entry.id} operation permission changed permission ${entry.permission ?? ''} ManageFreshThings`
    },
  },
  {
    name: 'a body that is gone',
    applies: ({ body }) => body.length > 0,
    apply: (api, entry) => {
      delete described(api, entry).requestBody
      return `changed ${entry.id} operation body vanished`
    },
  },
  {
    name: 'a deprecation',
    applies: ({ stability }) => stability === 'stable' || stability === 'beta',
    apply: (api, entry) => {
      described(api, entry).deprecated = true
      return `changed ${entry.id} operation deprecated changed stability ${entry.stability} deprecated`
    },
  },
  {
    name: 'a page whose items are called otherwise',
    applies: ({ answer, method }) => answer?.form === 'page' && method === 'GET' && answer.organizations.length === 0,
    apply: (api, entry) => {
      const [response] = Object.values(described(api, entry).responses) as {
        content: Record<string, { schema: Json }>
      }[]
      const properties = response?.content['application/json']?.schema['properties'] as Json
      const name = entry.answer?.items ?? ''
      properties['rows'] = properties[name]
      delete properties[name]
      return `changed ${entry.id} answer ${name} vanished`
    },
  },
]

describe('a document that says what the catalogue says', () => {
  test.each(['3.0.3', '3.1.0'])('drifts in nothing, as OpenAPI %s in JSON and in YAML', (version) => {
    const api = describeApi(operations, version)
    for (const text of [JSON.stringify(api), `\uFEFF${stringify(api)}`]) {
      const drift = driftOf(text)
      expect(lines(drift)).toEqual([])
      expect(drift).toMatchObject({ compared: operations.length, unconfirmed: [], notCompared: [], retired: 0 })
    }
  })

  test.each(mutations.map((mutation) => [mutation.name, mutation] as const))('%s is found', (_name, mutation) => {
    const fitting = operations.filter(mutation.applies)
    expect(fitting.length).toBeGreaterThan(0)
    for (const entry of [fitting[0], fitting.at(-1)]) {
      if (entry === undefined) continue
      const api = describeApi(operations)
      const expected = mutation.apply(api, entry)
      expect(lines(driftOf(JSON.stringify(api)))).toEqual([expected])
    }
  })

  test('and every set of changes, each to an operation of its own, is found exactly', () => {
    const change = fc.record({ at: fc.nat(operations.length - 1), mutation: fc.nat(mutations.length - 1) })
    fc.assert(
      fc.property(
        fc.uniqueArray(change, { selector: ({ at }) => at, maxLength: 12 }),
        fc.boolean(),
        (changes, yaml) => {
          const api = describeApi(operations)
          const expected = changes.flatMap(({ at, mutation }) => {
            const entry = operations[at]
            const wanted = mutations[mutation]
            return entry !== undefined && wanted?.applies(entry) === true ? [wanted.apply(api, entry)] : []
          })
          const text = yaml ? stringify(api) : JSON.stringify(api)
          expect(lines(driftOf(text)).toSorted()).toEqual(expected.toSorted())
        },
      ),
      { numRuns: 12 },
    )
  })
})

describe('what is read of a document', () => {
  const sessions = '/v3/organizations/{org_id}/sessions'
  const list = operation('org.sessions.list')

  function only(entry: OperationEntry, change: (api: DescribedApi) => void): Drift {
    const api = describeApi([entry])
    change(api)
    return compare(readOpenApi('spec', JSON.stringify(api)), catalogue, true)
  }

  test('are the members of an object that is sent as query parameters', () => {
    const drift = only(list, (api) => {
      const found = described(api, list)
      const inQuery = found.parameters.filter((each) => each.in === 'query')
      const properties = Object.fromEntries(inQuery.map(({ name, schema }) => [name, schema]))
      api.components.schemas['Query'] = { type: 'object', properties }
      found.parameters = [
        ...found.parameters.filter((each) => each.in === 'path'),
        { name: 'qs', in: 'query', required: true, schema: { $ref: '#/components/schemas/Query' } },
      ]
    })
    expect(lines(drift)).toEqual([])
  })

  test('are parameters of the path item, references to parameters, and no header fields', () => {
    const drift = only(list, (api) => {
      const found = described(api, list)
      const [first, ...rest] = found.parameters
      Object.assign(api.paths[sessions] ?? {}, { parameters: [first, { name: 'X-Request-Id', in: 'header' }] })
      Object.assign(api.components, { parameters: { after: rest[0] } })
      found.parameters = [{ $ref: '#/components/parameters/after' } as never, ...rest.slice(1)]
    })
    expect(lines(drift)).toEqual([])
  })

  test('are bodies that are put together, and schemas that hold themselves', () => {
    const create = operation('org.sessions.create')
    const drift = only(create, (api) => {
      const name = bodyName(create.id)
      const { required, properties } = bodyOf(api, create.id)
      const [prompt, ...others] = Object.entries(properties)
      api.components.schemas[name] = {
        allOf: [
          { $ref: `#/components/schemas/${name}` },
          { anyOf: [{ type: 'object', properties: Object.fromEntries(others) }, { type: 'null' }] },
          { type: 'object', required, properties: Object.fromEntries([prompt ?? ['', {}]]) },
        ],
      }
    })
    expect(lines(drift)).toEqual([])
  })

  test.each([
    [{ 'x-required-permissions': ['ViewAllSessions'] }, 'ViewOrgSessions ViewAllSessions'],
    [{ description: 'Requires the `ViewAllSessions` permission.' }, 'ViewOrgSessions ViewAllSessions'],
    [{ security: [{ bearerAuth: ['ViewAllSessions'] }] }, 'ViewOrgSessions ViewAllSessions'],
    [{ 'x-permissions': [] }, 'ViewOrgSessions none'],
  ])('is the permission, where it is stated plainly: %j', (fields, text) => {
    const drift = only(list, (api) => {
      delete described(api, list)['x-permission']
      Object.assign(described(api, list), fields)
    })
    expect(lines(drift)).toEqual([`changed org.sessions.list operation permission changed permission ${text}`])
  })

  test.each([
    [{ 'x-permissions': ['A', 'B'] }],
    [{ 'x-permission': { any: 'thing' } }],
    [{ description: 'Either the ViewAll or the ViewSome permission, or ManageOrg permission.' }],
    [{ description: 'Needs your permission.' }],
    [{ security: [{ bearerAuth: ['ViewAll'] }, { other: ['ViewSome'] }] }],
    [{ security: [{ bearerAuth: ['sessions:read'] }] }],
    [{ 'x-rate-limit': 'ViewAllSessions' }],
  ])('is no permission where it could be read in two ways: %j', (fields) => {
    const drift = only(list, (api) => {
      delete described(api, list)['x-permission']
      Object.assign(described(api, list), fields)
    })
    expect(lines(drift)).toEqual([])
  })

  test.each([
    ['https://api.devin.ai/v3', '/organizations/{org_id}/sessions'],
    ['https://devin.corp.example/devin', '/v3/organizations/{org_id}/sessions'],
    ['https://{host}/{version}', '/organizations/{org_id}/sessions'],
    ['/', '/v3/organizations/{org_id}/sessions'],
  ])('is the path behind the server %s', (url, path) => {
    const drift = only(list, (api) => {
      api.paths = { [path]: api.paths[sessions] ?? {} }
      Object.assign(api, { servers: [{ url, variables: { version: { default: 'v3' } } }] })
    })
    expect([drift.compared, lines(drift)]).toEqual([1, []])
  })

  test('are no operations of other versions: retired ones are counted, parts that are not described are left alone', () => {
    const drift = only(list, (api) => {
      api.paths['/v1/sessions'] = { get: described(api, list) }
      Object.assign(api.paths[sessions] ?? {}, { head: {}, options: {}, trace: {} })
    })
    expect(drift).toMatchObject({
      new: [],
      retired: 1,
      notCompared: [{ prefix: '/v3' }, { prefix: '/v3beta1' }, { prefix: '/opbeta' }],
    })
  })

  test('are all operations, unless the document is said to be partial; a part without any is left alone', () => {
    const stable = describeApi(operations.filter(({ path }) => path.startsWith('/v3/') && path !== '/v3/self'))
    const drift = driftOf(JSON.stringify(stable))
    expect(lines(drift)).toEqual(['vanished self.get'])
    expect(drift.notCompared.map(({ prefix }) => prefix)).toEqual(['/v3beta1', '/opbeta'])
  })

  test('is what no public page named so far, and this document does not either', () => {
    const drift = only(list, (api) => {
      const found = described(api, list)
      found.parameters = found.parameters.filter(({ name }) => name !== 'automation_ids')
    })
    expect(drift.unconfirmed.map(({ operation: { id }, names }) => `${id} ${names.join()}`)).toEqual([
      'org.sessions.list automation_ids',
    ])
    expect(lines(drift)).toEqual([])
  })

  test('takes a document that refers to the same thing again and again in a short time', () => {
    const drift = only(operation('org.sessions.create'), (api) => {
      const { schemas } = api.components
      for (let level = 0; level < 60; level += 1) {
        const next = { $ref: `#/components/schemas/L${level + 1}` }
        schemas[`L${level}`] = { anyOf: [next, next], allOf: [next, next], items: next }
      }
      schemas['L60'] = { type: 'object', properties: { x: { $ref: '#/components/schemas/L0' } } }
      bodyOf(api, 'org.sessions.create').properties['deep'] = { $ref: '#/components/schemas/L0' }
    })
    expect(lines(drift)).toEqual(['changed org.sessions.create body deep new'])
  })
})

describe('a document that cannot be used', () => {
  const good = { openapi: '3.1.0', info: { title: 'Petstore', version: '1' } }
  const get = { get: { responses: {} } }

  test.each<[string, string, string]>([
    ['empty', '', 'spec:1:1: not an OpenAPI document: it holds no object'],
    ['a list', '[]', 'spec:1:1: not an OpenAPI document: it holds no object'],
    ['something else', 'operations: []', 'spec:1:1: not an OpenAPI document: it should begin with "openapi: 3.1.0"'],
    [
      'misspelled',
      'openai: 3.1.0',
      'spec:1:1: not an OpenAPI document: it should begin with "openapi: 3.1.0"; did you mean "openai"?',
    ],
    [
      'version 2',
      '{"info":{},\n "swagger": "2.0"}',
      'spec:2:13: OpenAPI 2.0 is not read: convert the document to OpenAPI 3.0 or 3.1 first',
    ],
    ['version 4', 'openapi: 4.0.0', 'spec:1:10: OpenAPI 4.0.0 is not read: only 3.0 and 3.1 are'],
    [
      'without paths',
      JSON.stringify(good),
      'spec:1:1: the document describes no operation: "paths" is missing or empty',
    ],
    [
      'with empty paths',
      'openapi: 3.0.3\npaths: {}',
      'spec:2:8: the document describes no operation: "paths" is missing or empty',
    ],
    [
      'of another API',
      stringify({ ...good, paths: { '/pets': get } }),
      'spec:6:3: the document "Petstore" is about another API: none of its paths begins like one of the catalogue; its first path is "/pets"',
    ],
    [
      'of the retired API',
      stringify({ ...good, paths: { '/v1/sessions': get } }),
      'spec:6:3: the document is about the retired /v1 and /v2 API, which the gateway never serves: take the one of /v3',
    ],
    [
      'broken YAML',
      'openapi: 3.1.0\npaths: {\n  "/v3/self: {}',
      'spec:3:3: not valid YAML or JSON: this " is never closed: put another one where the text ends',
    ],
    [
      'broken JSON',
      '{"openapi": "3.1.0", "paths": {"/v3/self" 1}}',
      'spec:1:43: not valid YAML or JSON: a comma is missing between two entries',
    ],
    [
      'with a reference to another file',
      'openapi: 3.1.0\npaths:\n  /v3/self:\n    get:\n      responses:\n        "200": { $ref: "common.yaml#/Self" }',
      'spec:6:24: the reference "common.yaml#/Self" leads out of the document: bundle it into one file first',
    ],
    [
      'with a reference to nothing',
      'openapi: 3.1.0\npaths:\n  /v3/self: { $ref: "#/components/pathItems/Self" }',
      'spec:3:21: the reference "#/components/pathItems/Self" leads nowhere',
    ],
    [
      'with an operation twice',
      stringify({ ...good, paths: { '/v3/a/{x}': get, '/v3/a/{y}': get } }),
      'spec:9:14: GET "/v3/a/{y}" stands there twice, but for the names of parameters',
    ],
  ])('because it is %s', (_why, text, message) => {
    expect(problems(text)[0]).toContain(message)
  })

  test('because aliases stand for more than anybody could read', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]']
    for (let level = 0; level < 9; level += 1) {
      const [name, before] = ['bcdefghij'[level], 'abcdefghi'[level]]
      bomb.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${before}`).join(',')}]`)
    }
    expect(problems(bomb.join('\n'))[0]).toMatch(/^spec:1:1: the document cannot be read: .*alias/i)
    expect(problems(`openapi: 3.1.0\nx: ${'['.repeat(20_000)}`)[0]).toContain('the document is nested too deeply')
  })

  test('is refused in a sentence, or read, whatever stands in it', () => {
    const small = describeApi(operations.filter(({ id }) => /^org\.(sessions|automations)\./.test(id)))
    const places: (string | number)[][] = []
    const walk = (value: unknown, path: (string | number)[]): void => {
      if (path.length > 0) places.push(path)
      if (typeof value !== 'object' || value === null) return
      for (const [key, child] of Object.entries(value)) walk(child, [...path, Array.isArray(value) ? Number(key) : key])
    }
    walk(small, [])
    const junk = fc.oneof(
      fc.constantFrom<unknown>(null, 7, '', 'text', [], {}, [null], [[]], { $ref: '#' }, { $ref: 7 }, true),
      fc.json().map((text): unknown => JSON.parse(text)),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(places.length - 1), junk), { minLength: 1, maxLength: 4 }), (changes) => {
        const copy = structuredClone(small)
        for (const [index, value] of changes) {
          const path = places[index] ?? []
          let holder = copy as unknown as Record<string | number, unknown>
          for (const step of path.slice(0, -1)) {
            const next = holder[step]
            if (typeof next !== 'object' || next === null) return
            holder = next as typeof holder
          }
          holder[path.at(-1) ?? ''] = structuredClone(value)
        }
        try {
          const drift = driftOf(JSON.stringify(copy))
          propose(drift.new, catalogue)
        } catch (error) {
          if (!(error instanceof Refused)) throw error
        }
      }),
      { numRuns: 100 },
    )
  })

  test('but data that looks like a reference is none', () => {
    const api = describeApi([operation('self.get')])
    Object.assign(api.paths['/v3/self']?.['get'] ?? {}, { 'x-see': { $ref: 'a.yaml' }, example: { $ref: 'b.yaml' } })
    expect(problems(JSON.stringify(api))).toEqual([])
    const field = { type: 'object', properties: { $ref: { type: 'string' } } }
    api.components.schemas['Named'] = field
    expect(problems(JSON.stringify(api))).toEqual([])
  })
})

describe('the proposed extension', () => {
  const base = describeApi(operations)

  function proposalOf(paths: Record<string, Json>): { text: string; entries: unknown[] } {
    const api = { ...base, paths: { ...base.paths, ...paths } }
    const { text } = propose(driftOf(JSON.stringify(api)).new, catalogue)
    const { extension, diagnostics } = readExtension({ file: 'proposal.yaml', text })
    expect(diagnostics).toEqual([])
    const extended = compileCatalogue({
      data: devinApi,
      stability: ['stable', 'beta'],
      extensions: extension === null ? [] : [extension],
    })
    expect(extended.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
    return {
      text,
      entries: (extension?.operations ?? []).map(
        ({ id, method, path, scope, permission, served }) => `${id} ${method} ${path} ${scope} ${permission} ${served}`,
      ),
    }
  }

  const list = { type: 'array', items: { type: 'object', properties: { id: {} } } }
  const answers = (schema: Json): Json => ({ 200: { content: { 'application/json': { schema } } } })

  test('serves what states its permission, and refuses what does not', () => {
    const { entries, text } = proposalOf({
      '/v3/organizations/{organization}/reports': {
        get: { 'x-permission': 'ViewOrgSessions', responses: answers(list) },
        post: { summary: 'Make a report\n# now', requestBody: { content: { 'application/json': {} } } },
      },
      '/v3/organizations/{org_id}/reports/{report_id}': { get: { 'x-permission': 'ViewOrgReports' } },
      '/v3/organizations/{org_id}/reports/{report_id}/publish': { post: { 'x-permissions': [] } },
      '/v3beta1/enterprise/reports': { get: { 'x-permission': 'ViewAccountSessions', responses: answers(list) } },
      '/v3beta1/enterprise/report-settings': {
        put: {
          'x-permission': 'ManageEnterpriseSettings',
          requestBody: {
            content: { 'application/json': { schema: { properties: { org_ids: {}, name: {} } } } },
          },
        },
      },
    })
    expect(entries).toEqual([
      'org.reports.list GET /v3/organizations/{org_id}/reports organization ViewOrgSessions true',
      'org.reports.create POST /v3/organizations/{org_id}/reports organization null false',
      'org.reports.get GET /v3/organizations/{org_id}/reports/{report_id} organization ViewOrgReports true',
      'org.reports.publish POST /v3/organizations/{org_id}/reports/{report_id}/publish organization null false',
      'beta.ent.reports.list GET /v3beta1/enterprise/reports enterprise ViewAccountSessions true',
      'beta.ent.report-settings.replace PUT /v3beta1/enterprise/report-settings enterprise ManageEnterpriseSettings false',
    ])
    expect(text).toContain('  # Make a report # now\n  - id: org.reports.create')
    expect(text).toContain('served: false # "org_ids" may name an organization')
  })

  test('says what cannot be an operation of an extension file, and loads when there is nothing in it', () => {
    const { entries, text } = proposalOf({ '/v3/reports/{name}.csv': { get: {} }, '/v3/reports/': { get: {} } })
    expect(entries).toEqual([])
    expect(text).toContain(
      'operations: []\n  # Not proposed: GET /v3/reports/{name}.csv: "{name}.csv": a parameter is a whole',
    )
    expect(text).toContain('# Not proposed: GET /v3/reports/: a path has no empty segments')
  })

  test('gives each operation an id of its own, whatever the paths look like', () => {
    const segment = fc.constantFrom('a', 'A b', '{x}', 'ünïcode', 'sessions', '{org_id}', 'organizations', '*', 'self')
    fc.assert(
      fc.property(fc.array(fc.array(segment, { minLength: 1, maxLength: 4 }), { maxLength: 8 }), (all) => {
        const seen = new Set<string>()
        const paths: Record<string, Json> = {}
        for (const segments of all) {
          const path = `/v3/${segments.join('/')}`
          const shape = path.replaceAll(/\{[^}]*\}/g, '{}')
          if (seen.has(shape) || operations.some((each) => each.path.replaceAll(/\{[^}]*\}/g, '{}') === shape)) continue
          seen.add(shape)
          paths[path] = { get: {}, post: { 'x-permission': 'ViewOrgSessions' } }
        }
        const { entries } = proposalOf(paths)
        expect(entries.length).toBeLessThanOrEqual(seen.size * 2)
      }),
      { numRuns: 30 },
    )
  })
})
