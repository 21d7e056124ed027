import { describe, expect, it } from 'vitest'
import { generatedFiles, outdatedFiles } from '../../tools/generate.ts'

const names = ['gateway', 'extension', 'team', 'keys', 'limits', 'guardrails', 'invariants', 'devin-users', 'tests']

describe('the generated files', () => {
  it('are up to date (else: npm run generate)', () => {
    expect(outdatedFiles()).toEqual([])
  })

  it('are outdated where they are absent', () => {
    expect(outdatedFiles('/nowhere')).toEqual([...generatedFiles().keys()])
  })

  it('are a schema for each file that people write, the reference, the map of the code, and what monitors the gateway', () => {
    const files = [...generatedFiles().keys()]
    expect(files.filter((file) => !/^(?:deploy|docs\/runbooks)\//.test(file))).toEqual([
      ...names.map((name) => `config/schemas/${name}.schema.json`),
      'docs/configuration.md',
      'src/README.md',
    ])
  })

  it.each(names)('describe every field and allow no unknown ones: %s', (name) => {
    const schema: unknown = JSON.parse(generatedFiles().get(`config/schemas/${name}.schema.json`) ?? '')
    expect(schema).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: expect.stringMatching(/./),
      description: expect.stringMatching(/./),
    })
    const gaps: string[] = []
    walk(schema, name, gaps)
    expect(gaps).toEqual([])
  })

  it('name every default in the reference', () => {
    const reference = generatedFiles().get('docs/configuration.md') ?? ''
    expect(reference).toContain(
      '| `upstream.timeouts.connect` | duration | `5s` | Longest time to connect, TLS included. |',
    )
    expect(reference).toMatch(/\| `issuers\[\]\.algorithms` \| list of `RS256`, .* \| `\["RS256","ES256"\]` \|/)
    expect(reference).toContain(
      '| `keys[].secret` | mapping | required | Where the value comes from; never the value. |',
    )
  })
})

/** Collects fields without a description, and objects that would let an unknown key pass. */
function walk(schema: unknown, path: string, gaps: string[]): void {
  if (typeof schema !== 'object' || schema === null) return
  if ('properties' in schema && typeof schema.properties === 'object' && schema.properties !== null) {
    if (!('additionalProperties' in schema) || schema.additionalProperties !== false) gaps.push(`${path} is open`)
    for (const [name, field] of Object.entries(schema.properties)) {
      const description: unknown = Reflect.get(Object(field), 'description')
      if (typeof description !== 'string' || !/^[A-Z`].*\.$/.test(description))
        gaps.push(`${path}.${name} has no description`)
    }
  }
  // Defaults and examples are data, not schemas. Rules between keys describe none.
  for (const [key, part] of Object.entries(schema))
    if (key !== 'default' && key !== 'examples' && key !== 'allOf') walk(part, `${path}.${key}`, gaps)
}
