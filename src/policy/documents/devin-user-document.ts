// Shape of devin-users.yaml: which user of Devin a caller is, where the member list does not say it. Validator, types and
// reader; devin-users.ts compiles it.

import { z } from 'zod'
import { most, oneKeyOf, orNull, text, upTo, type ReadonlyOutput } from '../../config/fields.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import { readDocument, type DocumentResult } from './document-fields.ts'

export type DevinUserEntry = ReadonlyOutput<typeof entry>

export interface DevinUsersDocument {
  readonly kind: 'devin-users'
  readonly file: string
  readonly users: readonly DevinUserEntry[]
  readonly positionOf: PositionOf
}

const entry = z
  .strictObject({
    email: orNull(text()).describe('E-mail address of the token; letter case does not count.'),
    subject: orNull(text()).describe('Subject of the token.'),
    issuer: orNull(text()).describe('Only tokens of this issuer.'),
    id: text().describe("The user's id at Devin, like email|65f0a1."),
  })
  .refine(({ email, subject }) => (email === null) !== (subject === null), {
    error: 'say either "email" or "subject"',
  })
  .meta(oneKeyOf('email', 'subject'))

/** Schema of `devin-users.yaml`. */
export const devinUsersSchema = z
  .strictObject({
    devin_users: upTo(most.users, 'users', z.array(entry)).describe('Callers and who they are at Devin.'),
  })
  .describe(
    'Who callers are at Devin, where its member list does not have them under the e-mail address of their token.',
  )

/** Reads a file of users. */
export function readDevinUsers(file: string, text: string): DocumentResult<DevinUsersDocument> {
  return readDocument(
    { file, text, schema: devinUsersSchema, holds: 'a list of devin_users', noVariables: 'write the value itself' },
    ({ devin_users: users }, positionOf) => ({ kind: 'devin-users', file, users, positionOf }),
  )
}
