// What several commands need before they can begin: configuration, catalogue, policies.

import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadCatalogue, type CatalogueSettings } from '../catalogue/load.ts'
import { fileProblem, Refused, type Diagnostic } from '../config/diagnostics.ts'
import { policyFolderProblem } from '../config/checks.ts'
import { loadConfig, outlineOf, type Config, type LoadedConfig } from '../config/load.ts'
import { readText } from '../config/values/files.ts'
import { comparedWith, loadPolicies, type LoadedPolicies, type LoadOptions } from '../policy/loading/load.ts'
import { readPolicyDirectory } from '../policy/loading/read-directory.ts'
import { loadSandboxConfig, noSurroundings } from '../sandbox/configuration.ts'
import { runningSandboxes, sandboxOf } from '../sandbox/state-folder.ts'
import { isElsewhere, loadPolicySource } from './policy-source.ts'
import { loadShadowSet } from './shadow-set.ts'
import type { Invocation } from './invocation.ts'
import { operatorOption } from './operators.ts'

/** Root of the package: the sample configuration and policies lie there. */
export const packageRoot = fileURLToPath(new URL('../..', import.meta.url))

/** Version of the package. */
export function packageVersion(): string {
  // Our own manifest, which always has a version.
  return (JSON.parse(readFileSync(resolve(packageRoot, 'package.json'), 'utf8')) as { version: string }).version
}

export const configOption = {
  config: { type: 'string', help: 'configuration file (default: GATEWAY_CONFIG or config/gateway.yaml)' },
} as const
export const policiesOption = {
  ...operatorOption,
  policies: {
    type: 'string',
    help: "policy directory instead of the configuration's; also git:REF, running, or shadow",
  },
} as const

/** The configuration file a command works on. */
export function configFile(invocation: Invocation): string {
  return resolve(namedConfig(invocation) ?? usualConfig)
}

const usualConfig = 'config/gateway.yaml'

/** The file that a command is given; null where it looks at the usual place. */
export function namedConfig({ option, env }: Pick<Invocation, 'option' | 'env'>): string | null {
  const ofEnvironment = env['GATEWAY_CONFIG'] ?? ''
  return option('config') ?? (ofEnvironment === '' ? null : ofEnvironment)
}

/** How a command reads the configuration. Throws `Refused` with every diagnostic. */
type ConfigReader = (invocation: Invocation) => Promise<LoadedConfig>

/** Reads the configuration as `start` needs it, with all that it names. */
export const configToStart: ConfigReader = async (invocation) => await readConfig(invocation, 'refused')

/** Reads the configuration, which may name certificates and secrets that are missing here. */
export const configOf: ConfigReader = async (invocation) => await readConfig(invocation, 'reported')

/** Says how to begin where there is no configuration and none was named. */
async function readConfig(invocation: Invocation, missing: 'refused' | 'reported'): Promise<LoadedConfig> {
  const file = configFile(invocation)
  if (namedConfig(invocation) === null && !existsSync(file)) {
    const sandbox = runningSandboxes(invocation.env)[0]
    const message =
      sandbox === undefined ? noConfiguration : `${noConfiguration}. A sandbox runs: --config ${sandbox.config}`
    throw new Refused([fileProblem(file, message)])
  }
  return await loadConfig(file, invocation.env, { missing })
}

/**
 * Reads the configuration of the gateway that runs here: where a sandbox runs it, with the sandbox's addresses. A command that
 * is given no configuration, in a folder without one, is about the sandbox that was started last.
 */
export const readRunningConfig: ConfigReader = async (invocation) => {
  const { env } = invocation
  const file = configFile(invocation)
  const isGiven = namedConfig(invocation) !== null || existsSync(file)
  const sandbox = isGiven ? sandboxOf(env, file) : runningSandboxes(env)[0]
  if (sandbox === null || sandbox === undefined) return await configOf(invocation)
  const { hostname, port } = new URL(sandbox.admin)
  const admin = { host: hostname, port: Number(port) }
  const { records: recordsDirectory = noSurroundings.recordsDirectory, jwksUri = noSurroundings.jwksUri } = sandbox
  return await loadSandboxConfig(sandbox.config, env, { ...noSurroundings, admin, recordsDirectory, jwksUri })
}

/** What to say where no configuration is named, and none is here. */
export const noConfiguration =
  'there is no configuration here, and neither --config nor GATEWAY_CONFIG names another file. "devin-gateway init" writes a first one; "devin-gateway sandbox" needs none'

/** Refuses a configuration that names files or folders that cannot be read, at the places where it does. */
export async function requireNamed({ config, positionOf, warnings }: LoadedConfig, withPolicies = true): Promise<void> {
  const { catalogue, file, policiesDirectory: folder } = config
  const found: Diagnostic[] = []
  const report = (place: string, problem: string, ...path: (string | number)[]): void =>
    void found.push({ file, ...positionOf(path), severity: 'error', message: `${place}: ${problem}` })
  for (const [index, extension] of catalogue.files.entries()) {
    const text = await readText(extension)
    if ('error' in text) report(extension, text.error, 'catalogue', 'files', index)
  }
  const problem = withPolicies ? await policyFolderProblem(folder) : null
  if (problem !== null) report(folder, problem, 'policies')
  if (found.length > 0) throw new Refused([...warnings, ...found])
}

export interface Setup {
  readonly config: Config
  readonly loaded: LoadedPolicies
  /** Settings whose file or variable is missing here. */
  readonly missing: readonly string[]
  readonly positionOf: LoadedConfig['positionOf']
}

/** With the shadow set; null where there is none, or other policies are looked at. */
export interface WholeSetup extends Setup {
  readonly shadow: LoadedPolicies | null
}

/** What a command needs less than `start` does. */
interface Loosely {
  readonly read?: ConfigReader
  /** `ignored` by commands that help to find out why a policy test fails. */
  readonly tests?: 'required' | 'ignored'
}

/** Loads configuration, catalogue and policies as `start` does, but for secrets, which a command may do without. */
export async function loadSetup(invocation: Invocation, { read, tests }: Loosely = {}): Promise<Setup> {
  const named = invocation.option('policies')
  const readIt = read ?? (named === 'running' ? readRunningConfig : configOf)
  const loadedConfig = await readIt(invocation).catch((error: unknown) => addOtherProblems(invocation, error))
  const { config, warnings, missing, positionOf } = loadedConfig
  await requireNamed(loadedConfig, named === null)
  const directory = resolve(named ?? config.policiesDirectory)
  const { origin } = config.upstream
  if (named !== null && isElsewhere(named)) {
    const { catalogue } = await loadCatalogue(config.catalogue)
    const options = {
      config,
      catalogue,
      asker: invocation,
      tests: tests ?? 'required',
    }
    const { loaded } = await loadPolicySource(named, options)
    return { config, missing, positionOf, loaded: { ...loaded, diagnostics: [...warnings, ...loaded.diagnostics] } }
  }
  const loaded = await loadWithCatalogue(config.catalogue, directory, {
    sources: { env: invocation.env, origin },
    ...comparedWith(config),
    tests: tests ?? 'required',
  }).catch((error: unknown) => {
    throw error instanceof Refused ? new Refused([...warnings, ...error.diagnostics]) : error
  })
  return { config, missing, positionOf, loaded: { ...loaded, diagnostics: [...warnings, ...loaded.diagnostics] } }
}

/** Loads the shadow set as well. Neither hides what is wrong with the other. */
export async function loadWholeSetup(invocation: Invocation, read: ConfigReader = configOf): Promise<WholeSetup> {
  if (invocation.option('policies') !== null) return { ...(await loadSetup(invocation, { read })), shadow: null }
  const shadowOf = async (): Promise<LoadedPolicies | null> => {
    // What is wrong with configuration and catalogue is told once, with the policies in force.
    const config = await read(invocation).then(
      (found) => found.config,
      () => null,
    )
    const isUsable = config !== null && (await loadCatalogue(config.catalogue).then(Boolean, () => false))
    return isUsable ? await loadShadowSet(config) : null
  }
  const [own, shadow] = await bothOf([loadSetup(invocation, { read }), shadowOf()])
  return { ...own, shadow }
}

/** Waits for both before either is refused; `told` is what is said of the problems of one. */
export async function bothOf<One, Other>(
  promises: readonly [Promise<One>, Promise<Other>],
  told: (diagnostics: readonly Diagnostic[], index: number) => readonly Diagnostic[] = (diagnostics) => diagnostics,
): Promise<readonly [One, Other]> {
  const problems = (await Promise.allSettled(promises)).flatMap((result, index) => {
    if (result.status === 'fulfilled') return []
    if (!(result.reason instanceof Refused)) throw result.reason
    return told(result.reason.diagnostics, index)
  })
  if (problems.length > 0) throw new Refused(problems)
  return await Promise.all(promises)
}

/** Throws `Refused` with what is wrong with catalogue and policies together. */
export async function loadWithCatalogue(
  settings: CatalogueSettings,
  directory: string,
  options: Pick<LoadOptions, 'sources' | 'connections' | 'issuers' | 'tests'>,
): Promise<LoadedPolicies> {
  const { catalogue, diagnostics } = await loadCatalogue(settings).catch(async (error: unknown) => {
    if (!(error instanceof Refused)) throw error
    // Without the catalogue the syntax of the policies can be checked, their operation names cannot.
    throw new Refused([...error.diagnostics, ...(await readPolicyDirectory(directory)).diagnostics])
  })
  const loaded = await loadPolicies({ ...options, directory, catalogue, secrets: 'reported' })
  return { ...loaded, diagnostics: [...diagnostics, ...loaded.diagnostics] }
}

/** Catalogue and policies are checked even when the configuration is broken, so that all problems show at once. */
async function addOtherProblems(invocation: Invocation, error: unknown): Promise<never> {
  if (!(error instanceof Refused)) throw error
  const { catalogue, policiesDirectory } = await outlineOf(configFile(invocation), invocation.env)
  const directory = resolve(invocation.option('policies') ?? policiesDirectory)
  if (!existsSync(configFile(invocation)) || !existsSync(directory)) throw error
  const sources = { env: invocation.env, origin: '' }
  const problems = await loadWithCatalogue(catalogue, directory, { sources }).then(
    () => [],
    (other: unknown) => (other instanceof Refused ? other.diagnostics : []),
  )
  throw new Refused([...error.diagnostics, ...problems])
}
