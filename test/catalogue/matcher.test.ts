// The matcher: every operation is found by its own path and by no other, and no accepted path is another operation for
// a server that decodes before it routes.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileMatcher, isOperation, type MatchResult } from '../../src/catalogue/matcher.ts'
import type { Operation } from '../../src/catalogue/operation.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import { Problem } from '../../src/problems.ts'
import { catalogue } from '../support/policies.ts'
import { createDecodingServer } from './decoding-server.ts'

const { operations } = catalogue
const matcher = compileMatcher(operations)

function match(method: string, path: string): MatchResult {
  return matcher.match(method, parseTarget(path).segments)
}

/** `GET /v3/self` → the operation's id, or why there is none. */
function found(request: string): string {
  const [method = '', path = ''] = request.split(' ')
  const result = match(method, path)
  if (isOperation(result)) return result.id
  return result.why === 'method' ? `method: ${result.methods.join(' ')}` : result.why
}

function samplePath(operation: Operation, value: (parameter: string) => string): string {
  return `/${operation.segments.map((segment) => (segment.startsWith('{') ? value(segment.slice(1, -1)) : segment)).join('/')}`
}

describe('each of the operations', () => {
  test.each(operations.map((operation) => [operation.id, operation] as const))(
    '%s is found by its own path',
    (_, operation) => {
      for (const value of [
        'x1',
        'email|ada',
        'okta%7COrg%7C1',
        'Platform%20Engineers',
        '...',
        '{org_id}',
        '__proto__',
      ]) {
        expect(
          match(
            operation.method,
            samplePath(operation, () => value),
          ),
        ).toBe(operation)
      }
    },
  )

  test('is found by no path with a segment more, a segment less, or a literal in another case', () => {
    for (const operation of operations) {
      const path = samplePath(operation, () => 'x1')
      for (const other of [
        `${path}/x2`,
        path.slice(0, path.lastIndexOf('/')) || '/',
        path.toUpperCase(),
        `/x0${path}`,
      ]) {
        expect(match(operation.method, other), `${operation.method} ${other}`).not.toBe(operation)
      }
    }
  })

  test('is found by no other method, except that HEAD follows GET', () => {
    for (const operation of operations) {
      const path = samplePath(operation, () => 'x1')
      for (const method of [
        'GET',
        'HEAD',
        'POST',
        'PUT',
        'PATCH',
        'DELETE',
        'OPTIONS',
        'TRACE',
        'CONNECT',
        'get',
        'QUERY',
        '',
      ]) {
        const expected = method === operation.method || (method === 'HEAD' && operation.method === 'GET')
        expect(match(method, path) === operation, `${method} ${path}`).toBe(expected)
      }
    }
  })
})

describe('a literal goes before a parameter', () => {
  test.each([
    ['GET /v3/organizations/o/sessions/insights', 'org.sessions.insights.list'],
    ['GET /v3/organizations/o/sessions/insight', 'org.sessions.get'],
    ['GET /v3/organizations/o/automations/schemas', 'org.automations.schemas.get'],
    ['GET /v3/organizations/o/automations/schema', 'org.automations.get'],
    ['PUT /v3beta1/organizations/o/repositories/indexing', 'beta.org.repositories.indexing.bulk-enable'],
    ['PUT /v3beta1/organizations/o/repositories/r/indexing', 'beta.org.repositories.indexing.enable'],
    ['DELETE /v3/enterprise/organizations/o/tags/x', 'ent.organizations.tags.delete'],
  ])('%s is %s', (request, id) => {
    const operation = catalogue.operation(id)
    expect(operation === null ? 'unknown id' : found(request)).toBe(operation === null ? 'known id' : id)
  })

  test('and there is no way back to the parameter when the literal leads nowhere', () => {
    expect(found('DELETE /v3/organizations/o/sessions/insights')).toBe('method: GET')
    expect(found('GET /v3/organizations/o/sessions/insights/messages')).toBe('path')
    expect(found('PUT /v3beta1/organizations/o/repositories/indexing/indexing')).toBe('path')
  })
})

describe("a path that is nobody's", () => {
  test.each([
    '/',
    '/v3',
    '/v3/organizations',
    '/v3/unknown',
    '/v1/sessions',
    '/v3/SELF',
    '/V3/self',
    '/v3/self/x',
    '/constructor',
  ])('is unknown: %s', (path) => {
    expect(found(`GET ${path}`)).toBe('path')
  })

  test('tells which methods it knows when only the method is wrong', () => {
    expect(found('POST /v3/self')).toBe('method: GET')
    expect(found('OPTIONS /v3/self')).toBe('method: GET')
    expect(found('TRACE /v3/self')).toBe('method: GET')
    const methods = found('PATCH /v3/organizations/o/sessions')
    expect(methods).toMatch(/^method: /)
    expect(methods.slice(8).split(' ').sort()).toEqual(['GET', 'POST'])
  })
})

describe('an escape', () => {
  test.each([
    'GET /v3/organizations/o/sessions/%69nsights',
    'GET /v3/organizations/o/sessions/insight%73',
    'GET /v3/organizations/o/automations/s%63hemas',
    'DELETE /v3/enterprise/organizations/o/tags/%64efault',
    'GET /v3/%73elf',
    'GET /%763/self',
    'GET /v3/%6frganizations/o/sessions',
    'GET /v3/organizations/o/%73essions',
    'GET /opbeta/outposts/%64evins',
  ])('that spells a literal is ambiguous: %s', (request) => {
    expect(found(request)).toBe('ambiguous')
  })

  test("that spells no literal of this place is part of a parameter's value", () => {
    expect(found('GET /v3/organizations/%6F/sessions/%69nsight')).toBe('org.sessions.get')
    expect(found('GET /v3/organizations/%73essions/sessions/x')).toBe('org.sessions.get')
    expect(found('GET /v3/organizations/o/sessions/%49nsights')).toBe('org.sessions.get')
  })

  test('in a place without parameters that spells nothing known is just an unknown path', () => {
    expect(found('GET /v3/s%65lfie')).toBe('path')
  })
})

describe('an escaped slash', () => {
  test('is accepted in every parameter that the catalogue marks and in no other', () => {
    let marked = 0
    for (const operation of operations) {
      for (const segment of operation.segments) {
        if (!segment.startsWith('{')) continue
        const name = segment.slice(1, -1)
        const expected = operation.slashes.includes(name)
        if (expected) marked += 1
        for (const value of ['corp%2Fapi', 'a%2fb%2Fc']) {
          const path = samplePath(operation, (parameter) => (parameter === name ? value : 'x1'))
          const result = match(operation.method, path)
          if (expected) expect(result, path).toBe(operation)
          else expect(result, path).toMatchObject({ why: 'ambiguous', segment: value })
        }
      }
    }
    expect(marked).toBeGreaterThanOrEqual(16)
  })

  test('is ambiguous where it would make a literal, also in a parameter that may hold it', () => {
    for (const request of [
      'GET /v3%2Fself',
      'GET /v3/organizations%2Fo%2Fsessions',
      'GET /v3/organizations/o/sessions%2Finsights',
      'GET /v3/organizations/o%2Fsessions',
      'GET /v3/organizations/o/sessions/x%2Fmessages',
      'DELETE /v3/enterprise/organizations/o/tags/default%2Fx',
      'PUT /v3beta1/organizations/o/repositories/indexing%2Fx/indexing',
      'DELETE /v3beta1/organizations/o/repositories/corp%2Findexing%2Fbranches%2Fmain/indexing',
    ]) {
      expect(found(request), request).toBe('ambiguous')
    }
  })

  test('may hold the name of a literal behind it where every server reads the same operation', () => {
    expect(found('PUT /v3beta1/organizations/o/repositories/corp%2Findexing/indexing')).toBe(
      'beta.org.repositories.indexing.enable',
    )
  })

  test('makes a path of another method no better known', () => {
    expect(found('POST /v3/organizations/o%2Fp/sessions/x')).toBe('ambiguous')
    expect(found('POST /v3beta1/organizations/o/repositories/a%2Fb/indexing')).toBe('ambiguous')
  })
})

describe('every accepted request is the same operation for every server that decodes the path before it routes', () => {
  const servers = (['slashes', 'segments'] as const).map((first) => createDecodingServer(operations, first))

  /** Null for a refused request, else both readings of an accepted one: the same, if all is well. */
  function readings(method: string, path: string): { ours: string; theirs: string } | null {
    let segments: readonly string[]
    try {
      segments = parseTarget(path).segments
    } catch (error) {
      if (error instanceof Problem) return null
      throw error
    }
    const ours = matcher.match(method, segments)
    if (!isOperation(ours)) return null
    const place = ours.organizations.segment
    const organization = place === -1 ? undefined : decodeURIComponent(segments[place] ?? '')
    const own = `${method} ${path}: ${ours.id} in ${organization}`
    const theirs = servers
      .map((server) => server(method, path))
      .map((route) => `${method} ${path}: ${route?.operation.id} in ${route?.parameters['org_id']}`)
    return { ours: own, theirs: theirs.find((reading) => reading !== own) ?? own }
  }

  const literals = [...new Set(operations.flatMap((operation) => operation.segments))].filter(
    (segment) => !segment.startsWith('{'),
  )
  const literal = fc.constantFrom(...literals)
  const plain = fc.constantFrom('x1', 'org-a', 'email|ada', 'okta%7COrg', 'a%20b', 'caf%C3%A9')
  const slashed = fc.oneof(
    fc.constantFrom('corp%2Fapi', 'a%2fb%2Fc'),
    literal.map((word) => `x%2F${word}`),
    literal.map((word) => `${word}%2fx`),
    fc.tuple(literal, literal).map((words) => words.join('%2F')),
  )
  const value = fc.record({
    plain: fc.oneof({ weight: 6, arbitrary: plain }, { weight: 1, arbitrary: literal }),
    // What a parameter that may hold slashes gets, and now and then another one.
    slashed: fc.oneof({ weight: 1, arbitrary: plain }, { weight: 3, arbitrary: slashed }),
    stray: fc.integer({ min: 0, max: 19 }).map((drawn) => drawn === 0),
  })
  // A change to one character of the path: spelled as an escape, in either case, or a slash hidden in one.
  const plant = fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    upper: fc.boolean(),
    slash: fc.boolean(),
  })
  const request = fc.record({
    operation: fc.constantFrom(...operations),
    method: fc.option(fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'), {
      nil: null,
      freq: 8,
    }),
    values: fc.array(value, { minLength: 5, maxLength: 5 }),
    plants: fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      { weight: 3, arbitrary: fc.array(plant, { maxLength: 3 }) },
    ),
  })

  function planted(path: string, plants: readonly { at: number; upper: boolean; slash: boolean }[]): string {
    let text = path
    for (const { at, upper, slash } of plants) {
      const places = [...text.matchAll(slash ? /\//g : /[a-z0-9-]/g)]
        .map((found) => found.index)
        .filter((index) => index > 0)
      const index = places[Math.floor(at * places.length)]
      if (index === undefined) continue
      const escaped = `%${text.charCodeAt(index).toString(16)}`
      text = text.slice(0, index) + (upper ? escaped.toUpperCase() : escaped) + text.slice(index + 1)
    }
    return text
  }

  test('with escapes planted anywhere, 30 000 times', () => {
    const tally = { accepted: 0, refused: 0 }
    fc.assert(
      fc.property(request, ({ operation, method, values, plants }) => {
        let next = 0
        const path = samplePath(operation, (name) => {
          const drawn = values[next++ % values.length]
          if (drawn === undefined) return 'x1'
          return operation.slashes.includes(name) || drawn.stray ? drawn.slashed : drawn.plain
        })
        const read = readings(method ?? operation.method, planted(path, plants))
        tally[read === null ? 'refused' : 'accepted'] += 1
        expect(read?.theirs).toBe(read?.ours)
      }),
      { numRuns: 30_000, seed: 5 },
    )
    expect(tally.accepted).toBeGreaterThan(5000)
    expect(tally.refused).toBeGreaterThan(5000)
  })

  test('with every literal of the catalogue as the value of every parameter, and beside it in one that may hold slashes', () => {
    const differences: string[] = []
    for (const operation of operations) {
      const names = operation.segments
        .filter((segment) => segment.startsWith('{'))
        .map((segment) => segment.slice(1, -1))
      for (const name of names) {
        for (const word of literals) {
          const spellings = operation.slashes.includes(name) ? [word, `x%2F${word}`, `${word}%2Fx`] : [word]
          for (const spelled of spellings) {
            const path = samplePath(operation, (parameter) => (parameter === name ? spelled : 'x1'))
            const read = readings(operation.method, path)
            if (read !== null && read.ours !== read.theirs) differences.push(`${read.ours}, or ${read.theirs}`)
          }
        }
      }
    }
    expect(differences).toEqual([])
  })
})

describe('operations of an extension', () => {
  const base = operations[0]
  function operation(id: string, template: string, slashes: readonly string[] = []): Operation {
    if (base === undefined) throw new Error('the catalogue is empty')
    return { ...base, id, method: 'GET', template, segments: template.slice(1).split('/'), slashes }
  }

  test('differ by literals and by the number of segments, whatever their parameters are called', () => {
    const own = compileMatcher([
      operation('reports.get', '/x/reports/{report_id}'),
      operation('reports.latest', '/x/reports/latest'),
      operation('reports.file', '/x/reports/{id}/files/{path}', ['path']),
    ])
    const id = (path: string) => {
      const result = own.match('GET', path.slice(1).split('/'))
      return isOperation(result) ? result.id : result.why
    }
    expect(id('/x/reports/1')).toBe('reports.get')
    expect(id('/x/reports/latest')).toBe('reports.latest')
    expect(id('/x/reports/1/files/a%2Fb')).toBe('reports.file')
    expect(id('/x/reports/1%2Ffiles/files/a')).toBe('ambiguous')
    expect(id('/x/reports/latest/files/a')).toBe('path')
    expect(id('/x/reports')).toBe('path')
  })

  test('are, in any catalogue, accepted only where every server that decodes first reads the same one', () => {
    const kinds = { a: 'a', b: 'b', parameter: '{p}', slashes: '{s}' }
    const drawnTemplate = fc.array(fc.constantFrom(...Object.values(kinds)), { minLength: 1, maxLength: 4 })
    const drawnValues = fc.array(fc.constantFrom('a', 'b', 'x', 'x%2Fa', 'a%2Fx', 'x%2Fy', 'x%2Fa%2Fb', '%61'), {
      minLength: 4,
      maxLength: 4,
    })
    let accepted = 0
    fc.assert(
      fc.property(
        fc.array(drawnTemplate, { minLength: 1, maxLength: 5 }),
        fc.nat(4),
        drawnValues,
        (drawn, pick, values) => {
          // Parameters differ only by place, so only one of two templates of the same shape can exist.
          const byShape = new Map(drawn.map((segments) => [segments.join('/').replaceAll(/\{.\}/g, '{}'), segments]))
          const own = [...byShape.values()].map((segments) => {
            const named = segments.map((segment, index) => segment.replace('}', `${index}}`))
            const marked = named.filter((segment) => segment.startsWith('{s')).map((segment) => segment.slice(1, -1))
            return operation(named.join('/'), `/${named.join('/')}`, marked)
          })
          const wanted = own[pick % own.length]?.segments ?? []
          const path = wanted.map((segment, index) => (segment.startsWith('{') ? (values[index] ?? 'x') : segment))
          const ours = compileMatcher(own).match('GET', path)
          if (!isOperation(ours)) return
          accepted += 1
          for (const first of ['slashes', 'segments'] as const) {
            const route = createDecodingServer(own, first)('GET', `/${path.join('/')}`)
            expect(route?.operation.id, `/${path.join('/')} for a server that tries ${first} first`).toBe(ours.id)
          }
        },
      ),
      { numRuns: 20_000, seed: 6 },
    )
    expect(accepted).toBeGreaterThan(3000)
  })
})
