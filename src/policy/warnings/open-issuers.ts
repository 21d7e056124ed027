// Entries of `members` that let in whoever has a token of an issuer that is open to everybody. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { alternatives } from '../../config/yaml/issues.ts'
import type { MemberEntry, TeamDocument } from '../documents/document.ts'
import { warningAt } from './coverage.ts'

interface OpenIssuer {
  readonly issuer: string
  /** Who has its tokens. */
  readonly who: string
  /** Claims that say whose a token is; the first ones are the ones to name. */
  readonly owners: readonly string[]
}

/** Each by its page in docs/identity/. */
const openIssuers: readonly OpenIssuer[] = [
  {
    issuer: 'https://token.actions.githubusercontent.com',
    who: 'every repository of GitHub',
    owners: [
      'repository_id',
      'repository_owner_id',
      'repository',
      'repository_owner',
      'enterprise_id',
      'enterprise',
      'workflow_ref',
      'sub',
    ],
  },
  {
    issuer: 'https://gitlab.com',
    who: 'every project of gitlab.com',
    owners: ['project_id', 'namespace_id', 'project_path', 'namespace_path', 'user_id', 'user_login', 'sub'],
  },
  {
    issuer: 'https://accounts.google.com',
    who: 'everybody with a Google account',
    owners: ['google.compute_engine.project_number', 'hd', 'google.compute_engine.project_id', 'sub', 'email', 'azp'],
  },
  {
    issuer: 'https://app.devin.ai',
    who: 'every session of every company',
    owners: ['org_id', 'devin_id', 'requesting_user_email', 'sub'],
  },
]

/** One warning for each entry. */
export function openEntries(documents: readonly TeamDocument[]): Diagnostic[] {
  return documents.flatMap((document) =>
    document.members.flatMap((entry, index) => {
      const open = openIssuers.find(
        ({ issuer, owners }) => entry.issuer?.includes(issuer) === true && !isOwned(entry, owners),
      )
      if (open === undefined) return []
      const message = `${open.who} can be a member by this entry: name ${alternatives(open.owners.slice(0, 2))} under claims, or a subject`
      return [warningAt(document, ['members', index], message)]
    }),
  )
}

/** Warns of entries that name no issuer while one of several is open to everybody: anybody could get a matching token there. */
export function entriesOfAllIssuers(documents: readonly TeamDocument[], issuers: readonly string[]): Diagnostic[] {
  const open = issuers.filter((issuer) => openIssuers.some((each) => each.issuer === issuer))
  if (issuers.length < 2 || open.length === 0) return []
  const message = `this entry names no issuer, so it matches tokens of all ${issuers.length} issuers, among them ${open.join(', ')}, which anybody can use: add issuer`
  return documents.flatMap((document) =>
    document.members.flatMap((entry, index) =>
      entry.issuer === undefined ? [warningAt(document, ['members', index], message)] : [],
    ),
  )
}

function isOwned({ groups, app, subject, email, claims = {} }: MemberEntry, owners: readonly string[]): boolean {
  return (
    [groups, app, subject, email].some((values) => values !== undefined) ||
    Object.keys(claims).some((path) => owners.includes(path.replaceAll('\\', '')))
  )
}
