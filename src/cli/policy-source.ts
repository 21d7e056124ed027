// Where a command reads a policy set from: a directory, a commit (`git:REF`), the gateway that runs this configuration, or its
// shadow set.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, normalize, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Catalogue } from '../catalogue/catalogue.ts'
import { policyFolderProblem } from '../config/checks.ts'
import { fileProblem, formatDiagnostic, Refused, type Diagnostic } from '../config/diagnostics.ts'
import { didYouMean } from '../config/nearest.ts'
import { errorCode } from '../config/values/file-errors.ts'
import { makeFolder } from '../config/values/writing.ts'
import type { Config } from '../config/load.ts'
import type { PoliciesView } from '../admin/views.ts'
import { loadPolicies, type LoadedPolicies, type LoadOptions } from '../policy/loading/load.ts'
import { operatorsOf, type OperatorsAsker } from './operators.ts'

const run = promisify(execFile)

export interface PolicySourceOptions {
  /** Of the gateway that runs, where a set can be `running`. */
  readonly config: Config
  readonly catalogue: Catalogue
  readonly asker: OperatorsAsker
  /** Default: `reported`, since a change is looked at before its tests are right. A broken invariant refuses it all the same. */
  readonly tests?: NonNullable<LoadOptions['tests']>
}

/** A set that was loaded. `nameOf` names one of its files as it lies in the set's folder. */
export interface PolicySource {
  readonly loaded: LoadedPolicies
  /** What is to be said of it: which gateway was asked for it, and whether one would refuse it. */
  readonly notes: readonly string[]
  readonly nameOf: (file: string) => string
}

/** Sentences about a set that no gateway would take. */
export function refusalNotes({ tolerated }: LoadedPolicies, name = 'these policies'): string[] {
  const [first] = tolerated
  if (first === undefined) return []
  const more = tolerated.length === 1 ? '' : `, and ${tolerated.length - 1} more`
  return [`note: a gateway would refuse ${name}: ${formatDiagnostic(first)}${more}`]
}

/** The files of a set, below a folder that is removed by `close`. */
interface OpenSource {
  readonly directory: string
  /** How messages name a file below the folder. */
  readonly shown: (file: string) => string
  readonly close: () => Promise<void>
  /** Address of the gateway that has it in force. */
  readonly asked?: string
}

/** Files of one set are no more than that; a larger tree is something else. */
const mostFiles = 10_000
const mostBytes = 64 * 1024 * 1024

/**
 * Loads the set that a text names, without its secrets. Throws `Refused` with diagnostics that begin with the text, and an
 * error where there is nothing to load.
 */
export async function loadPolicySource(text: string, options: PolicySourceOptions): Promise<PolicySource> {
  const source = await open(text, options)
  const sources = { env: options.asker.env, origin: options.config.upstream.origin }
  const { catalogue } = options
  try {
    const loaded = await loadPolicies({
      directory: source.directory,
      catalogue,
      sources,
      secrets: 'reported',
      tests: options.tests ?? 'reported',
    })
    const tolerated = loaded.tolerated.map((each) => ({ ...each, file: source.shown(each.file) }))
    const notes = refusalNotes({ ...loaded, tolerated }, text)
    if (source.asked !== undefined) notes.unshift(`running: revision ${loaded.policy.revision} at ${source.asked}`)
    return { loaded, notes, nameOf: (file) => relative(source.directory, file) }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    throw new Refused(error.diagnostics.map((each): Diagnostic => ({ ...each, file: source.shown(each.file) })))
  } finally {
    await source.close()
  }
}

/** Whether a set is named in another way than by its folder. */
export function isElsewhere(text: string): boolean {
  return text === 'running' || text === 'shadow' || text.startsWith('git:')
}

async function open(text: string, options: PolicySourceOptions): Promise<OpenSource> {
  if (text === 'running') return await openRunning(options)
  if (text.startsWith('git:')) return await openCommit(text.slice('git:'.length), options)
  const { shadowPoliciesDirectory: shadow } = options.config
  if (text === 'shadow' && shadow === null && !existsSync(text))
    throw new Error(
      `there is no shadow set: name its directory as shadow_policies in ${options.config.file}, or name a directory or git:REF in place of "shadow"`,
    )
  const directory = text === 'shadow' && shadow !== null ? shadow : resolve(text)
  const problem = existsSync(directory) ? null : await policyFolderProblem(directory)
  if (problem !== null) {
    const message = problem.includes('did you mean') ? problem : problem + (await otherSetNear(text, options.config))
    throw new Refused([fileProblem(directory, message)])
  }
  return { directory, shown: (file) => file, close: async () => {} }
}

/** A set that is no folder and that a text could mean: a commit without `git:`, or `running` misspelled. */
async function otherSetNear(text: string, config: Config): Promise<string> {
  const isCommit = await run('git', ['-C', dirname(config.file), ...commitOf(text)]).then(
    () => true,
    () => false,
  )
  return isCommit ? `; did you mean "git:${text}"?` : didYouMean(text, ['running'])
}

/** What `git` says of a commit: its id, or an error. */
function commitOf(ref: string): readonly string[] {
  return ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`]
}

async function openRunning({ config, asker }: PolicySourceOptions): Promise<OpenSource> {
  const { address, ask } = operatorsOf(config, asker)
  const answer = await ask('/api/policies', { signal: AbortSignal.timeout(15_000) })
  if (answer === null || !answer.ok)
    throw new Error(
      `the running gateway could not be asked at ${address}: start it, or name a directory or git:REF in place of "running"`,
    )
  // Our own listener's answer.
  const { files } = (await answer.json()) as PoliciesView
  return { ...(await unpacked(files, 'running')), asked: address }
}

async function openCommit(ref: string, { config }: PolicySourceOptions): Promise<OpenSource> {
  const { place, folder } = await repositoryOf(ref, config)
  const git = async (...args: readonly string[]): Promise<string> => await gitIn(place, args)
  const commit = await git(...commitOf(ref)).catch(async () => {
    const [commit = '', path] = ref.split(':')
    if (path !== undefined && commit !== '')
      throw new Error(`git:${ref}: write git:${commit}; the folder is that of \`policies\` in the configuration`)
    const refs = await git('for-each-ref', '--format=%(refname:short)').catch(() => '')
    const near = didYouMean(ref, ['HEAD', ...refs.split('\n').filter(Boolean)])
    const advice = ': write a branch, a tag or a commit that is here; in CI, fetch it first'
    throw new Error(`git:${ref} names no commit${near === '' ? advice : near}`)
  })
  const listed = await git('ls-tree', '-r', '-z', '--full-tree', commit.trim(), '--', folder === '' ? '.' : folder)
  const entries = listed.split('\0').filter(Boolean)
  if (entries.length === 0) throw new Error(`git:${ref} has no policies: there is nothing at ${folder} in that commit`)
  if (entries.length > mostFiles) throw new Error(`git:${ref} has more than ${mostFiles} files at ${folder}`)
  const named = entries.map((entry) => {
    const [meta = '', path = ''] = entry.split('\t')
    const [mode = '', , object = ''] = meta.split(' ')
    if (!mode.startsWith('100')) throw new Error(`git:${ref}: ${path} is no regular file`)
    return { name: relative(folder, path), object }
  })
  const texts = await blobs(
    place,
    named.map(({ object }) => object),
  )
  const files = named.map(({ name }, index) => ({ name, text: texts[index] ?? '' }))
  return await unpacked(files, `git:${ref}:${folder}`)
}

async function gitIn(place: string, args: readonly string[]): Promise<string> {
  return (await run('git', ['-C', place, ...args], { maxBuffer: mostBytes })).stdout
}

/** The texts of objects, from one process: one for each would take all processes that the machine has. */
async function blobs(place: string, objects: readonly string[]): Promise<readonly string[]> {
  const asking = run('git', ['-C', place, 'cat-file', '--batch'], { maxBuffer: mostBytes, encoding: 'buffer' })
  asking.child.stdin?.end(`${objects.join('\n')}\n`)
  const { stdout } = await asking
  let at = 0
  return objects.map((object) => {
    const start = stdout.indexOf(0x0a, at) + 1
    const head = stdout.toString('utf8', at, start - 1)
    const size = new RegExp(`^${object} blob (\\d+)$`).exec(head)?.[1]
    if (size === undefined) throw new Error(`git gives no text for ${object}: ${head}`)
    // A line feed is behind each.
    at = start + Number(size) + 1
    return stdout.toString('utf8', start, at - 1)
  })
}

/**
 * The repository in which the configuration lies, and the folder of the policies there. Where the configuration lies in none, or in a
 * bare one, the repository of the working directory, and the folder's name at its top.
 */
async function repositoryOf(
  ref: string,
  { file, policiesDirectory: policies }: Config,
): Promise<{ readonly place: string; readonly folder: string }> {
  const place = dirname(file)
  const top = await gitIn(place, ['rev-parse', '--show-toplevel']).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT')
      throw new Error('git:REF needs the program git, which is not installed', { cause: error })
    const told = error instanceof Error ? error.message : ''
    if (told.includes('dubious ownership'))
      throw new Error(
        `git:${ref}: git takes no repository of another user at ${place}: run git config --global --add safe.directory with its folder`,
        { cause: error },
      )
    return null
  })
  if (top === null) {
    for (const each of [place, process.cwd()])
      if (await isRepository(each)) return { place: each, folder: basename(policies) }
    throw new Error(
      `git:${ref} needs a Git repository: neither ${place} nor the working directory is in one. Run it in a clone`,
    )
  }
  const root = await realpath(top.trim())
  const parent = await realpath(dirname(policies)).catch(() => dirname(policies))
  const folder = relative(root, join(parent, basename(policies)))
  if (folder.startsWith('..'))
    throw new Error(`git:${ref}: the policies at ${policies} lie outside the repository ${root}`)
  return { place, folder }
}

async function isRepository(place: string): Promise<boolean> {
  return await gitIn(place, ['rev-parse', '--git-dir']).then(
    () => true,
    () => false,
  )
}

/** Writes files to a folder of their own. */
async function unpacked(
  files: readonly { readonly name: string; readonly text: string }[],
  shownAs: string,
): Promise<OpenSource> {
  const directory = await mkdtemp(join(tmpdir(), 'devin-gateway-policies-'))
  const close = (): Promise<void> => rm(directory, { recursive: true, force: true })
  try {
    for (const { name, text } of files) {
      const file = normalize(join(directory, name))
      if (!file.startsWith(`${directory}/`)) throw new Error(`${shownAs}: "${name}" leads out of the folder`)
      makeFolder(dirname(file))
      await writeFile(file, text)
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    directory,
    shown: (file) => (file.startsWith(directory) ? `${shownAs}${file.slice(directory.length)}` : file),
    close,
  }
}
