// Who else on this machine may read secrets, and who may change configuration and policies.

import { lstat, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Config } from '../../config/load.ts'
import { counted } from '../../config/plural.ts'
import type { SecretReference } from '../../config/secret-schema.ts'
import { listPolicyFolder } from '../../policy/loading/folder.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'

interface GuardedFile {
  readonly file: string
  /** "The private key of listen.tls". */
  readonly what: string
}

export function fileModeExamination(config: Config, policy: PolicySet | null): Examination {
  const secrets = secretFiles(config, policy)
  // Extension files and authorities; the files of secrets are looked at more strictly.
  const named = config.filesOfStart.filter((each) => each !== config.file && !secrets.some(({ file }) => file === each))
  const changeable: readonly GuardedFile[] = [
    { what: 'The configuration', file: config.file },
    ...named.map((file) => ({ what: `${path.basename(file)}, which the configuration names,`, file })),
    { what: 'The directory of the policies', file: config.policiesDirectory },
  ]
  return {
    area: 'files',
    about: null,
    async examine(found) {
      // Windows has no modes.
      if (process.platform === 'win32') return
      const before = found.list.length
      for (const secret of secrets) await addSecret(found, secret)
      for (const each of changeable) await addChangeable(found, each)
      await addPolicies(found, config.policiesDirectory)
      await addRecords(found, config)
      if (found.list.length > before) return
      const ofSecrets = secrets.length === 0 ? '' : `read no secret in ${counted(secrets.length, 'file')}, and `
      found.ok('modes', `other users can ${ofSecrets}change neither configuration nor policies`)
    },
  }
}

/** Every file of the configuration and of the inventory that holds a secret. */
export function secretFiles(
  config: Pick<Config, 'listen' | 'secretFiles' | 'admin' | 'checkpoints'> | null,
  policy: Pick<PolicySet, 'keys'> | null,
): readonly GuardedFile[] {
  const ofReference = (what: string, reference: SecretReference | null | undefined): GuardedFile[] =>
    reference !== null && reference !== undefined && 'file' in reference ? [{ what, file: reference.file }] : []
  const ofKeys = (policy?.keys ?? []).flatMap(({ id, secret }) => ofReference(`The file of the key "${id}"`, secret))
  if (config === null) return ofKeys
  const { tls, adminTls } = config.listen
  const all: readonly GuardedFile[] = [
    ...(tls === null ? [] : [{ what: 'The private key of listen.tls', file: tls.keyFile }]),
    ...(adminTls === null ? [] : [{ what: 'The private key of listen.admin_tls', file: adminTls.keyFile }]),
    ...config.secretFiles,
    ...ofReference('The file of admin.auth.client_secret', config.admin.auth?.clientSecret),
    ...ofReference('The file of checkpoints.key', config.checkpoints?.key),
    ...ofKeys,
  ]
  return all.filter(({ file }, index) => all.findIndex((other) => other.file === file) === index)
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(3, '0')

async function addSecret(found: Findings, { file, what }: GuardedFile): Promise<void> {
  // A missing one is a finding of the configuration.
  const mode = (await stat(file).catch(() => null))?.mode
  if (mode === undefined) return
  if ((mode & 0o006) !== 0)
    found.error(
      'secret',
      `${what} is open to every user of this machine (mode ${octal(mode)}).`,
      `chmod o-rwx ${file}; where Kubernetes mounts it, set defaultMode: 0440 at the volume.`,
      file,
    )
  else if ((mode & 0o020) !== 0)
    found.warning('secret', `${what} may be changed by its group (mode ${octal(mode)}).`, `chmod g-w ${file}`, file)
  await addFolder(found, path.dirname(file), `${what} lies in a folder in which`)
}

async function addChangeable(found: Findings, { file, what }: GuardedFile): Promise<void> {
  const status = await stat(file).catch(() => null)
  if (status === null) return
  if (status.isDirectory()) {
    await addFolder(found, file, `${what} is a folder in which`)
    return
  }
  if ((status.mode & 0o002) !== 0)
    found.error(
      'changeable',
      `${what} may be changed by every user of this machine (mode ${octal(status.mode)}): whoever changes it gives rights.`,
      `chmod o-w ${file}`,
      file,
    )
  else await addFolder(found, path.dirname(file), `${what} lies in a folder in which`)
}

/** A set may be one large mount with wrong modes, so its files share one finding. */
async function addPolicies(found: Findings, directory: string): Promise<void> {
  const files = (await listPolicyFolder(directory))?.files ?? []
  const modes = await Promise.all(files.map(async (file) => (await stat(file).catch(() => null))?.mode ?? 0))
  const open = files.filter((_, index) => ((modes[index] ?? 0) & 0o002) !== 0)
  const [first] = open
  if (first !== undefined)
    found.error(
      'changeable',
      `${counted(open.length, 'policy file')} may be changed by every user of this machine: ${listed(open.map((file) => path.relative(directory, file)))}. Whoever changes one gives rights.`,
      open.length === 1 ? `chmod o-w ${first}` : `chmod -R o-w ${directory}`,
      open.length === 1 ? first : directory,
    )
  for (const folder of new Set(files.map((file) => path.dirname(file))))
    if (folder !== directory) await addFolder(found, folder, 'A folder of the policies is one in which')
}

const mostNamed = 3

function listed(names: readonly string[]): string {
  const more = names.length - mostNamed
  return `${names.slice(0, mostNamed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const sticky = 0o1000

/** Whoever may write to a folder may replace every file of it. */
async function addFolder(found: Findings, folder: string, beginning: string): Promise<void> {
  const mode = (await lstat(folder).catch(() => null))?.mode
  const isTold = found.list.some((each) => each.id === 'files.folder' && each.about === folder)
  if (mode === undefined || isTold || (mode & 0o002) === 0 || (mode & sticky) !== 0) return
  found.error(
    'folder',
    `${beginning} every user of this machine may replace files (mode ${octal(mode)}).`,
    `chmod o-w ${folder}`,
    folder,
  )
}

/** Records name people and what they did. */
async function addRecords(found: Findings, { records }: Config): Promise<void> {
  for (const [stream, file] of Object.entries(records)) {
    if (!path.isAbsolute(file)) continue
    const status = await stat(file).catch(() => null)
    // A device or a pipe keeps nothing.
    if (status?.isFile() !== true) continue
    const { mode } = status
    if ((mode & 0o002) !== 0)
      found.error(
        'records',
        `Every user of this machine may write to the file of records.${stream} (mode ${octal(mode)}).`,
        `chmod o-w ${file}`,
        file,
      )
    else if ((mode & 0o004) !== 0)
      found.warning(
        'records',
        `Every user of this machine may read the file of records.${stream}, which names people and what they did (mode ${octal(mode)}).`,
        `chmod o-r ${file}`,
        file,
      )
  }
}
