// Shape of *.test.yaml: requests with the decision that is expected. Validator, types and reader; tools/suite.ts runs them.

import { z } from 'zod'
import { id, oneOrSeveral, text, textAs, where, word, type ReadonlyOutput } from '../../config/fields.ts'
import { instantField, readDocument, type DocumentResult } from './document-fields.ts'
import { quoted, type Parsed } from '../../config/units.ts'
import type { PositionOf } from '../../config/yaml/document.ts'

/** The caller that the cases of a block speak of; what is absent the token does not say. */
export type TestPrincipalDocument = ReadonlyOutput<typeof caller>
export type TestCaseDocument = ReadonlyOutput<typeof testCase>
export type TestBlockDocument = ReadonlyOutput<typeof testBlock>

export interface TestDocument {
  readonly kind: 'tests'
  readonly file: string
  readonly blocks: readonly TestBlockDocument[]
  /** Paths begin with the number of the block: `[0, 'cases', 2]`. */
  readonly positionOf: PositionOf
}

const caller = z.strictObject({
  groups: oneOrSeveral('group').optional().describe('Groups of the token.'),
  app: text().optional().describe('The calling application.'),
  actor: text().optional().describe('Who acts for the subject: `act.sub` of the token.'),
  subject: text().optional().describe('Subject of the token.'),
  email: text().optional().describe('E-mail address of the token.'),
  issuer: text().optional().describe('Issuer of the token.'),
  claims: z.record(text(), z.unknown()).optional().describe('Other claims of the token.'),
  devin_user_id: text().optional().describe("The caller's user at Devin, in place of its member list."),
})

const requestLine = /^[A-Z]+ \/\S*$/

const testCase = z
  .strictObject({
    do: textAs(parseRequestLine, { pattern: requestLine.source }).describe(
      'Method and path, as a caller would send them: GET /v3/self.',
    ),
    body: z.unknown().optional().describe('JSON body of the request.'),
    expect: z.enum(['allow', 'deny']).describe('The decision that is right.'),
    reason: word('reasons').optional().describe('Reason code of the denial.'),
    grant: id().optional().describe('The grant that must have allowed it.'),
    warn: id()
      .optional()
      .describe('The grant or guardrail in mode `warn` that must have been recorded: it would be denied.'),
    owner: text().optional().describe('Whom the refusal or the grant must name as owner.'),
    key: id().optional().describe('The key that must have been chosen.'),
    team: id().optional().describe('The team whose grant must have decided.'),
  })
  .superRefine(
    (written, context) => {
      const idle =
        written.expect === 'allow'
          ? (['reason'] as const)
          : written.expect === 'deny'
            ? (['grant', 'key', 'warn'] as const)
            : []
      for (const name of idle) {
        if (written[name] === undefined) continue
        context.addIssue({
          code: 'custom',
          message: `"${name}" says nothing about a request that is expected to be ${written.expect === 'allow' ? 'allowed' : 'denied'}: remove it`,
          path: [name],
        })
      }
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  )
  .meta({
    allOf: [
      where('expect', 'allow', { properties: { reason: false } }),
      where('expect', 'deny', { properties: { grant: false, key: false, warn: false } }),
    ],
  })

const testBlock = z.strictObject({
  as: caller.describe('Who is calling.'),
  at: instantField()
    .optional()
    .describe('When: rights with `until` can be tested before and after their end. Default: now.'),
  cases: z.array(testCase).min(1, 'a block needs at least one case').describe('Requests of this caller.'),
})

/** Schema of `*.test.yaml`. */
export const testsSchema = z
  .array(testBlock)
  .min(1, 'the file should hold at least one block')
  .describe('Policy tests: they run before every swap, and a set that fails them is refused.')

/** Reads a file of policy tests. */
export function readTests(file: string, text: string): DocumentResult<TestDocument> {
  return readDocument(
    {
      file,
      text,
      schema: testsSchema,
      holds: 'a list of blocks, each with "as" and "cases"',
      noVariables: 'write the value itself',
    },
    (blocks, positionOf) => ({ kind: 'tests', file, blocks, positionOf }),
  )
}

function parseRequestLine(written: string): Parsed<string> {
  if (requestLine.test(written)) return { value: written }
  return { error: `${quoted(written)} is not a request: write a method, one space and a path, like GET /v3/self` }
}
