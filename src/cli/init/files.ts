// The starting set: every file that `init` writes, with comments for those who read it first.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Answers, CiKind } from './answers.ts'

export interface StartingFile {
  /** Relative to the folder of the set. */
  readonly path: string
  readonly text: string
  /** It belongs to this version of the gateway: a newer `init` replaces it. */
  readonly generated?: boolean
}

/** Permissions of the key that the set begins with. */
export const keyPermissions = [
  'ViewOrgSessions',
  'ManageOrgSessions',
  'UseDevinSessions',
  'ViewOrgConsumption',
  'ViewOrgMetrics',
]

/**
 * All files of the set. `packageRoot`: where the schemas, the CI files and the recommended guardrails and
 * invariants of this version lie.
 */
export async function startingFiles(answers: Answers, packageRoot: string): Promise<readonly StartingFile[]> {
  const { team, ci } = answers
  const recommended = async (name: string): Promise<StartingFile> => {
    const path = `policies/${name}.recommended.yaml`
    return { path, text: await readFile(join(packageRoot, path), 'utf8') }
  }
  return [
    { path: 'config/gateway.yaml', text: configText(answers) },
    { path: `policies/teams/${team}.yaml`, text: teamText(answers) },
    { path: 'policies/keys.yaml', text: keysText(answers) },
    await recommended('guardrails'),
    await recommended('invariants'),
    { path: `policies/${team}.test.yaml`, text: testText(answers) },
    { path: 'policies/.gatewayignore', text: ignoreText },
    { path: '.gitignore', text: gitIgnoreText },
    ...(ci === 'none' ? [] : [await ciFile(ci, packageRoot)]),
    ...(await schemaFiles(packageRoot)),
  ]
}

/** The schemas of this version, for editors. */
export async function schemaFiles(packageRoot: string): Promise<StartingFile[]> {
  const folder = join(packageRoot, 'config', 'schemas')
  const names = (await readdir(folder)).sort()
  return await Promise.all(
    names.map(async (name) => ({
      path: `config/schemas/${name}`,
      text: await readFile(join(folder, name), 'utf8'),
      generated: true,
    })),
  )
}

/** Name of the first key. */
export function keyId({ team }: Answers): string {
  return `${team}-runner`
}

/** The environment variable that holds its value. */
export function keyVariable(answers: Answers): string {
  const name = `${keyId(answers)
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, '_')}_KEY`
  return /^\d/.test(name) ? `KEY_${name}` : name
}

const reserved = /^(true|false|null|yes|no|on|off|y|n)$/i

/** A YAML scalar, quoted where it has to be. */
function scalar(text: string): string {
  return /^[A-Za-z][\w./@-]*$|^https:\/\/[\w./-]+(:\d+)?[\w./-]*$/.test(text) && !reserved.test(text)
    ? text
    : JSON.stringify(text)
}

function configText({ origin, issuer, audience }: Answers): string {
  return `# yaml-language-server: $schema=schemas/gateway.schema.json
#
# The gateway reads this file at its start. Relative paths are relative to this file. \${NAME} and \${NAME:-default} take environment
# variables, in values only. Your editor completes every key by the schema above.

listen:
  gateway: \${GATEWAY_LISTEN:-0.0.0.0:8080} # for callers
  admin: \${GATEWAY_ADMIN_LISTEN:-127.0.0.1:9090} # for operators: health, metrics, status. Keep callers away from it.
  # Without a certificate, put a balancer with TLS in front.
  # tls: { cert: /etc/devin-gateway/tls/cert.pem, key: /etc/devin-gateway/tls/key.pem }

upstream:
  # The Devin API. A dedicated deployment has its own address, like https://api.your-company.devinenterprise.com
  origin: ${scalar(origin)}

issuers:
  # Identity providers whose tokens are accepted. Signing keys are found through the issuer's metadata document.
  - issuer: ${scalar(issuer)} # exactly as the iss claim of a token spells it
    audience: ${scalar(audience)} # what the aud claim has to hold; tokens for other services are refused
    # email_verified: required # set it where the issuer sends this claim
    claims: # which claim says what about the caller; these are the usual ones
      subject: sub
      email: email
      groups: groups
      app: azp

policies: ../policies

# What several instances share. memory: nothing. With more than one instance: valkeys://valkey.corp.example:6379/0
store: memory

records:
  access: stdout # one line for each request
  decisions: \${GATEWAY_LOG_DIR:-../records}/decisions.ndjson # who was allowed or denied what, and why
  audit: \${GATEWAY_LOG_DIR:-../records}/audit.ndjson # changes of policies and keys, as a hash chain
`
}

function teamText(answers: Answers): string {
  const { team, group, organization } = answers
  return `# yaml-language-server: $schema=../../config/schemas/team.schema.json
#
# What team ${team} may do. Only what a grant names is allowed. The gateway takes a changed file within about a second,
# after the policy tests have passed.

team: ${scalar(team)}
members: # one entry that matches makes a caller a member; inside an entry all must match
  - groups: [${scalar(group)}]
  # - app: [${team}-bot] # an application, by the claim azp of its token
organizations: [${scalar(organization)}] # ids of organizations at Devin; no request may touch any other
default_organization: ${scalar(organization)}
grants:
  # A permission name covers the operations for which Devin asks this permission.
  - id: run-sessions
    allow: [ViewOrgSessions, ManageOrgSessions]

  # An operation id covers one operation, and a final * all that follow. \`devin-gateway catalogue consumption\` finds ids.
  - id: read-figures
    allow: [org.consumption.*, org.metrics.*]

  # Decided and recorded, not applied: shows who would use a grant before it is given.
  # - id: read-playbooks
  #   allow: [org.playbooks.list, org.playbooks.get]
  #   mode: shadow

limits: # what is not named has no limit
  requests: 600/min
  writes: 60/min
  concurrent: 20
  sessions: 50/day # successful creates
  acus: 500/month # reserved before a session starts, settled by what it used
`
}

function keysText(answers: Answers): string {
  return `# yaml-language-server: $schema=../config/schemas/keys.schema.json
#
# The service-user keys of the gateway. For every request it takes the key with the least power that suffices. Values never
# stand here: { env: NAME } names an environment variable, { file: PATH } a file, which can be replaced without a restart.

keys:
  - id: ${scalar(keyId(answers))}
    scope: organization
    organization: ${scalar(answers.organization)}
    # What the service user may do at Devin. Give it no more than this.
    permissions: [${keyPermissions.join(', ')}]
    secret: { env: ${keyVariable(answers)} }
    # expires: 2027-01-31 # warns two weeks before
`
}

function testText(answers: Answers): string {
  const { organization, group } = answers
  const path = `/v3/organizations/${organization}`
  const request = (line: string): string => scalar(line)
  return `# yaml-language-server: $schema=../config/schemas/tests.schema.json
#
# Requests and the decisions that are right. They run in \`devin-gateway check\`, in \`devin-gateway test\` and before a changed set comes
# into force: a set that fails is refused, and the one before stays.

- as: { groups: [${scalar(group)}] }
  cases:
    - do: ${request(`GET ${path}/sessions`)}
      expect: allow
      grant: run-sessions
      key: ${scalar(keyId(answers))}
    - do: ${request(`POST ${path}/sessions`)}
      body: { prompt: Fix the flaky test }
      expect: allow
      grant: run-sessions
    # What a session may cost is bounded by guardrails.recommended.yaml.
    - do: ${request(`POST ${path}/sessions`)}
      body: { prompt: Migrate everything, max_acu_limit: 500 }
      expect: deny
      reason: guardrail
    - do: ${request(`GET ${path}/secrets`)}
      expect: deny
      reason: not-granted
    - do: ${request(`GET /v3/organizations/${organization}-other/sessions`)}
      expect: deny
      reason: organization-not-granted

# A caller who is in no team.
- as: { groups: [some-other-group] }
  cases:
    - do: ${request(`GET ${path}/sessions`)}
      expect: deny
      reason: no-team
`
}

const ignoreText = `# Files in this folder that are no policies, one pattern a line. Any other file that is not read refuses the whole set.
README.md
CODEOWNERS

# What editors leave while somebody writes.
*~
.*.swp
.#*
`

const gitIgnoreText = `# Values of keys and what the gateway writes do not belong into the repository.
.env
keys/
records/
`

/** The file of the package, and where it has to lie. */
const ciFiles = {
  github: { of: 'github-actions.yml', path: '.github/workflows/devin-gateway.yml' },
  gitlab: { of: 'gitlab-ci.yml', path: '.gitlab-ci.yml' },
} as const satisfies Readonly<Record<Exclude<CiKind, 'none'>, unknown>>

async function ciFile(kind: keyof typeof ciFiles, packageRoot: string): Promise<StartingFile> {
  const { of, path } = ciFiles[kind]
  return { path, text: await readFile(join(packageRoot, 'deploy', 'ci', of), 'utf8') }
}
