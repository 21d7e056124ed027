// The policies of the installation as flat data, for servers that get as maps what the gateway reads from its files.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { organizationOf, teams } from '../company.ts'
import type { Installation } from '../installation.ts'
import type { KeyUse } from '../workloads.ts'

export interface Route {
  readonly method: string
  /** With `:org` and `:id` for the variable segments. */
  readonly shape: string
  /** The permission a team needs, and the key that a call of it is sent with. */
  readonly permission: string
  readonly key: KeyUse
  readonly cached: boolean
}

const organization = '/v3/organizations/:org'

/** The routes of the workloads; the other operations would only lengthen a map that is looked up by hash. */
export const routes: readonly Route[] = [
  read(`${organization}/sessions/:id/messages`, 'ViewOrgSessions'),
  read(`${organization}/sessions/:id/attachments`, 'ViewOrgSessions'),
  { ...read(`${organization}/sessions/insights`, 'ViewOrgSessions'), cached: true },
  read(`${organization}/secrets`, 'ViewOrgSecrets'),
  write(`${organization}/knowledge/notes`, 'ManageOrgKnowledge'),
  write(`${organization}/sessions`, 'ManageOrgSessions'),
]

export interface TeamFacts {
  readonly team: string
  readonly organization: string
  readonly permissions: readonly string[]
  /** Requests a day. */
  readonly perDay: number
  readonly reader: string
  readonly runner: string
}

/** Every team with its keys. A limit that is judged and never reached is the largest number all servers hold. */
export function teamFacts(installation: Installation): readonly TeamFacts[] {
  const facts = (team: string, perDay: number): TeamFacts => ({
    team,
    organization: organizationOf(team),
    permissions: ['ViewOrgSessions', 'ManageOrgSessions', 'ManageOrgKnowledge'],
    perDay,
    reader: installation.keyOf(team, 'reader'),
    runner: installation.keyOf(team, 'runner'),
  })
  return [...teams.usual.map((team) => facts(team, 2_000_000_000)), ...teams.limited.map((team) => facts(team, 1))]
}

/** Writes a map file: a name and a value on each line. Gives its path. */
export function writeMap(directory: string, name: string, entries: readonly (readonly [string, string])[]): string {
  const file = join(directory, `${name}.map`)
  writeFileSync(file, entries.map(([key, value]) => `${key} ${value}\n`).join(''), { mode: 0o600 })
  return file
}

function read(shape: string, permission: string): Route {
  return { method: 'GET', shape, permission, key: 'reader', cached: false }
}

function write(shape: string, permission: string): Route {
  return { method: 'POST', shape, permission, key: 'runner', cached: false }
}
