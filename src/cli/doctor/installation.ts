// What `doctor` has to examine: configuration and policies as far as they can be used, and how the running gateway is asked.

import { existsSync } from 'node:fs'
import { Refused, type Diagnostic } from '../../config/diagnostics.ts'
import { counted } from '../../config/plural.ts'
import { readSoundSections } from '../../doctor/installation/sound-sections.ts'
import { secretFiles } from '../../doctor/machine/file-modes.ts'
import { runExamination, type Examined } from '../../doctor/examination.ts'
import type { Installation } from '../../doctor/examine.ts'
import type { Findings } from '../../doctor/finding.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { runningSandboxes, sandboxOf } from '../../sandbox/state-folder.ts'
import type { Invocation } from '../invocation.ts'
import { operatorsOf, type OperatorsAsker } from '../operators.ts'
import { configFile, loadWholeSetup, loadWithCatalogue, namedConfig, noConfiguration } from '../setup.ts'

interface FoundInstallation {
  readonly examined: Examined
  /** The configuration that is examined; null for none. */
  readonly file: string | null
  readonly configuration: Installation['configuration']
  readonly policy: PolicySet | null
  readonly running: Installation['running']
  /** Addresses of a sandbox that runs here. */
  readonly sandbox: readonly string[]
}

const nothing = { file: null, configuration: null, policy: null, running: null, sandbox: [] }

/** Reads configuration and policies. `isRunning`: their gateway should answer. `outside`: addresses are given. */
export async function findInstallation(
  invocation: Invocation,
  asker: OperatorsAsker,
  withinMs: number,
  { isRunning, hasAddresses }: { readonly isRunning: boolean; readonly hasAddresses: boolean },
): Promise<FoundInstallation> {
  const file = configFile(invocation)
  const isNamed = namedConfig(invocation) !== null
  // With an address alone it is about that one, wherever the command runs.
  const isThere = isNamed || (!hasAddresses && existsSync(file))
  const sandbox = hasAddresses
    ? null
    : isThere
      ? sandboxOf(invocation.env, file)
      : (runningSandboxes(invocation.env)[0] ?? null)
  let seen: Omit<FoundInstallation, 'examined'> = nothing
  const examined = await runExamination(
    {
      area: 'configuration',
      about: isThere ? file : null,
      async examine(found) {
        if (sandbox !== null) {
          found.skipped(
            'sandbox',
            `A sandbox runs ${sandbox.config}: it is examined by its addresses. Its issuer, its Devin API and its keys are its own.`,
          )
          seen = { ...nothing, file: sandbox.config, sandbox: [sandbox.gateway, sandbox.admin] }
        } else if (isThere) seen = await readInstallation(found, file, invocation, asker, isRunning)
        else if (!hasAddresses)
          found.error(
            'file',
            `${noConfiguration}.`.replace(/^t/, 'T'),
            'Name it with --config, or an address with --url.',
            file,
          )
      },
    },
    withinMs,
  )
  return { ...seen, examined }
}

async function readInstallation(
  found: Findings,
  file: string,
  invocation: Invocation,
  asker: OperatorsAsker,
  isRunning: boolean,
): Promise<Omit<FoundInstallation, 'examined'>> {
  const whole = await loadWholeSetup(invocation).catch((error: unknown) => {
    if (error instanceof Refused) return error
    throw error
  })
  const sections = await readSoundSections(file, invocation.env)
  const policy = whole instanceof Refused ? await policyOf(sections, invocation) : whole.loaded.policy
  const secrets = secretFiles(sections?.config ?? null, policy)
  const ownFindings = (diagnostics: readonly Diagnostic[]): void => {
    for (const diagnostic of diagnostics)
      // Modes of secret files are examined by themselves.
      if (!secrets.some((secret) => diagnostic.message.includes(`may read ${secret.file}:`)))
        addDiagnostic(found, diagnostic, file)
  }
  if (whole instanceof Refused) ownFindings(whole.diagnostics)
  else {
    const { loaded, shadow, missing, positionOf } = whole
    // A start would refuse what is a warning to commands that need no certificate.
    const places = missing.map((setting) => positionOf(setting.split('.')))
    const isNeeded = ({ file: written, line, column }: Diagnostic): boolean =>
      written === file && places.some((place) => place.line === line && place.column === column)
    // Each key is examined by itself.
    const valueless = loaded.policy.keys.filter(({ id }) => !loaded.secrets.values.has(id))
    const told = loaded.diagnostics.filter(
      ({ message }) => !valueless.some(({ id }) => message.startsWith(`key "${id}": `)),
    )
    ownFindings(told.map((each) => (isNeeded(each) ? { ...each, severity: 'error' } : each)))
    ownFindings(shadow?.diagnostics ?? [])
    found.ok('file', 'the configuration is well-formed')
    found.ok(
      'policies',
      `${counted(policy?.teams.length ?? 0, 'team')}, ${counted(policy?.keys.length ?? 0, 'key')}, ${counted(loaded.testsPassed, 'policy test')} passed, revision ${loaded.policy.revision}`,
    )
  }
  if (sections === null) {
    found.skipped(
      'sections',
      'Nothing that the configuration names was examined.',
      'Correct it first, then run doctor again.',
    )
    return { ...nothing, file }
  }
  const operators = operatorsOf(sections.config, asker)
  const running = {
    address: operators.address,
    async read(path: string, signal: AbortSignal) {
      const response = await operators.ask(path, { signal })
      const body = await response?.text().catch(() => null)
      return response === null || body === null || body === undefined ? null : { status: response.status, body }
    },
  }
  return { file, configuration: sections, policy, running: isRunning ? running : null, sandbox: [] }
}

/** The policies, where they are all right and something else is not. What is wrong with them is told already. */
async function policyOf(
  sections: Awaited<ReturnType<typeof readSoundSections>>,
  invocation: Invocation,
): Promise<PolicySet | null> {
  if (sections === null) return null
  const { catalogue, policiesDirectory, upstream } = sections.config
  const sources = { env: invocation.env, origin: upstream.origin }
  return await loadWithCatalogue(catalogue, policiesDirectory, { sources }).then(
    ({ policy }) => policy,
    () => null,
  )
}

function addDiagnostic(found: Findings, { file, line, column, severity, message }: Diagnostic, config: string): void {
  const what = file === config ? 'file' : 'policies'
  const place = { file, line, column }
  const correct =
    line === 0 && message.includes('cannot be read')
      ? 'Check the path, and run doctor as the user of the gateway.'
      : 'Correct it there; devin-gateway check says when it is right.'
  if (severity === 'error') found.error(what, message, correct, file, place)
  else found.warning(what, message, 'Correct it there, unless it is meant so.', file, place)
}
