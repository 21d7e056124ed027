// The policies that the steps are measured with, and the caller.

import { devinApi } from '../../src/catalogue/data.ts'
import { compileCatalogue } from '../../src/catalogue/catalogue.ts'
import { emptyPrincipal, type Principal } from '../../src/identity/principal.ts'
import { compilePolicies } from '../../src/policy/compile/compile.ts'
import { readPolicyFile, type PolicyDocument } from '../../src/policy/documents/document.ts'

const guardrails = `guardrails:
  - id: bounds
    on: [org.sessions.create]
    body:
      max_acu_limit: { default: 10, at_most: 25 }
      repos: { each_matches: "corp/*", max_items: 20000 }
      tags: { add: ["team:\${team}"], reserve: ["team:\${team}", "app:"] }
      secrets.*.key: { matches: "CI_*", default: CI_x }
      secrets.*.sensitive: { default: true }
      numbers.*: { at_most: 5 }
      title: { matches: "^[a-z ]*$" }
      branch: { matches: "^[ab]*a[ab]{12}$" }
      prompt: { reserve: ["team:"] }
      playbook_id: { matches: "corp/*" }
`
const team = `team: payments
members: [{ groups: [engineers] }]
organizations: [org-payments]
grants: [{ id: run, allow: [ManageOrgSessions] }]
`

const { catalogue } = compileCatalogue({ data: devinApi, stability: ['stable', 'beta'], extensions: [] })
export const { policy } = compilePolicies(
  {
    revision: 'bench',
    teams: read('teams/payments.yaml', team, 'team'),
    keys: [],
    guardrails: read('guardrails.yaml', guardrails, 'guardrails'),
  },
  catalogue,
)
export const caller: Principal = {
  ...emptyPrincipal,
  subject: 'ada',
  issuer: 'https://sso.test',
  groups: ['engineers'],
}
function read<Kind extends PolicyDocument['kind']>(
  name: string,
  text: string,
  kind: Kind,
): Extract<PolicyDocument, { kind: Kind }>[] {
  const { document } = readPolicyFile({ file: name, name, text })
  if (document?.kind !== kind) throw new Error(`${name} cannot be read`)
  return [document as Extract<PolicyDocument, { kind: Kind }>]
}
