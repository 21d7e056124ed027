// A small set of configuration, policies and keys without a mistake, which tests put mistakes into and have checked.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { callCommand } from './command.ts'

/** Paths in the set. */
export const config = 'config/gateway.yaml'
export const team = 'policies/teams/payments.yaml'
export const guardrails = 'policies/guardrails.yaml'
export const keys = 'policies/keys.yaml'
export const limits = 'policies/limits.yaml'

export const right: Readonly<Record<string, string>> = {
  [config]: `listen:
  gateway: 127.0.0.1:8080
  admin: 127.0.0.1:9090
upstream:
  origin: https://api.corp.example
issuers:
  - issuer: https://sso.corp.example
    audience: devin-gateway
policies: ../policies
records: { access: stdout, decisions: stdout, audit: stdout }
`,
  [team]: `team: payments
members:
  - groups: [sso-payments]
organizations: [org-payments]
grants:
  - id: run-sessions
    allow: [ViewOrgSessions, ManageOrgSessions]
`,
  [keys]: `keys:
  - id: runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions]
    secret: { env: RUNNER_KEY }
`,
  [guardrails]: `guardrails:
  - id: bounded
    on: [org.sessions.create]
    body:
      prompt: { max_length: 9000 }
`,
}

const roots: string[] = []
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true })
})

export type Edit = readonly [file: string, written: string, instead: string]

/** The right set with edits (an empty `written`: the whole file, or its end), checked; with paths relative to the set. */
export async function told(edits: readonly Edit[], env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const root = mkdtempSync(join(tmpdir(), 'gateway-mistakes-'))
  roots.push(root)
  const files = { ...right }
  for (const [file, written, instead] of edits) {
    const before = files[file]
    if (written !== '') expect(before).toContain(written)
    files[file] = written === '' ? (before ?? '') + instead : (before ?? '').replace(written, () => instead)
  }
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
    if (file.startsWith('secrets/')) chmodSync(join(root, file), file.endsWith('open') ? 0o644 : 0o600)
  }
  const { out } = await callCommand(['check', '--json', '--config', join(root, config)], {
    RUNNER_KEY: 'cog_runner',
    ...env,
  })
  // The answer of the command, as the other suites of the contract read it.
  const { diagnostics } = JSON.parse(out) as {
    diagnostics: { file: string; line: number; column: number; severity: string; message: string }[]
  }
  return diagnostics.map(({ file, line, column, severity, message }) =>
    `${file}:${line}:${column}: ${severity === 'warning' ? 'warning: ' : ''}${message}`.replaceAll(`${root}/`, ''),
  )
}
