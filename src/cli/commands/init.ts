// `init`: writes a starting set (configuration, a team, keys, tests, CI) and says what remains to be done.

import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { counted } from '../../config/plural.ts'
import { shellWord } from '../../policy/tools/shell-word.ts'
import { errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import { makeFolder } from '../../config/values/writing.ts'
import { answerOptions, answersFor, choicesText, type Answers } from '../init/answers.ts'
import { keyId, keyPermissions, keyVariable, schemaFiles, startingFiles, type StartingFile } from '../init/files.ts'
import type { Command, Invocation } from '../invocation.ts'
import { loadSetup, packageRoot } from '../setup.ts'
import { forPeople } from '../style.ts'

export const initCommand: Command = {
  usage:
    'init [DIR] [--origin URL] [--issuer URL] [--audience A] [--team T] [--group G] [--organization ID] [--ci github|gitlab|none] [--yes] [--force] | init [DIR] --schemas',
  summary:
    'write a starting set: configuration, a team, keys, policy tests, ignore files, CI; asks for every option that is not given',
  positionals: 1,
  options: {
    ...answerOptions,
    yes: { type: 'boolean', help: 'ask nothing: take the default of every option that is not given' },
    force: { type: 'boolean', help: 'replace files that exist' },
    schemas: { type: 'boolean', help: 'write only config/schemas/, after an upgrade' },
  },
  async run(invocation) {
    const directory = resolve(invocation.positionals[0] ?? '.')
    if (invocation.flag('schemas')) {
      const outcomes = await write(directory, await compared(directory, await schemaFiles(packageRoot)), false)
      if (invocation.json) invocation.print(JSON.stringify({ ok: true, directory, ...outcomes }))
      else tellFiles(invocation, outcomes)
      return 0
    }
    const answers = await answersFor(invocation)
    const force = invocation.flag('force')
    const files = await compared(directory, await startingFiles(answers, packageRoot))
    const inTheWay = files.filter(({ path, state }) => state === 'differs' && isOfTheSet(path))
    if (inTheWay.length > 0 && !force) return refuse(invocation, directory, inTheWay)
    const outcomes = await write(directory, files, force)
    const configFile = join(directory, 'config', 'gateway.yaml')
    const { loaded } = await loadSetup({ ...invocation, option: (name) => (name === 'config' ? configFile : null) })
    const remaining = remainingFor(answers)
    if (invocation.json)
      invocation.print(
        JSON.stringify({
          ok: true,
          directory,
          ...outcomes,
          tests_passed: loaded.testsPassed,
          assumed: Object.fromEntries([...answers.assumed].map((name) => [name, Reflect.get(answers, name)])),
          remaining,
        }),
      )
    else {
      if (answers.unasked) invocation.printText(`${choicesText(answers)}\n`)
      tellFiles(invocation, outcomes)
      tellWhatRemains(invocation, configFile, loaded.testsPassed, remaining)
    }
    return 0
  },
}

/** Ignore files and CI may have other owners; they are kept, and the set works without ours. */
function isOfTheSet(path: string): boolean {
  return /^(config|policies)\/.*\.yaml$/.test(path)
}

interface Outcomes {
  readonly written: string[]
  readonly replaced: string[]
  readonly kept: string[]
  readonly unchanged: string[]
}

interface ComparedFile extends StartingFile {
  readonly state: 'missing' | 'same' | 'differs'
}

async function compared(directory: string, files: readonly StartingFile[]): Promise<ComparedFile[]> {
  return await Promise.all(
    files.map(async (file) => {
      const place = join(directory, file.path)
      const before = await readFile(place, 'utf8').catch((error: unknown) => {
        if (errorCode(error) === 'ENOENT') return null
        throw new Error(`${place} cannot be read: ${whyUnreadable(error)}. Nothing was written.`, { cause: error })
      })
      return { ...file, state: before === null ? 'missing' : before === file.text ? 'same' : 'differs' }
    }),
  )
}

/** Writes what is missing, and what differs where it is forced or belongs to the version. */
async function write(directory: string, files: readonly ComparedFile[], force: boolean): Promise<Outcomes> {
  const outcomes: Outcomes = { written: [], replaced: [], kept: [], unchanged: [] }
  for (const { path, text, state, generated = false } of files) {
    const isKept = state === 'differs' && !force && !generated
    outcomes[state === 'same' ? 'unchanged' : isKept ? 'kept' : state === 'missing' ? 'written' : 'replaced'].push(path)
    if (state === 'same' || isKept) continue
    const file = join(directory, path)
    try {
      makeFolder(dirname(file))
      // A link that leads to nothing would have the file written wherever it says.
      await writeFile(file, text, { flag: state === 'missing' ? 'wx' : 'w' })
    } catch (error) {
      throw new Error(`${file} cannot be written: ${whyUnreadable(error, 'folder')}`, { cause: error })
    }
  }
  return outcomes
}

function refuse(invocation: Invocation, directory: string, files: readonly ComparedFile[]): number {
  const names = files.map(({ path }) => path)
  if (invocation.json) invocation.print(JSON.stringify({ ok: false, directory, in_the_way: names }))
  else
    invocation.err.write(
      forPeople(`devin-gateway init: these files exist in ${directory} and differ from what would be written:
${names.map((name) => `  ${name}`).join('\n')}
Nothing was written. Name another folder, or replace them with --force.
`),
    )
  return 1
}

function tellFiles(invocation: Invocation, { written, replaced, kept, unchanged }: Outcomes): void {
  const { paint } = invocation
  const isSchema = (path: string): boolean => path.startsWith('config/schemas/')
  const named = (paths: readonly string[]): string[] => [
    ...paths.filter((path) => !isSchema(path)),
    ...(paths.some(isSchema) ? ['config/schemas/ (for editors)'] : []),
  ]
  for (const path of named(written)) invocation.print(`${paint('green', 'written ')}  ${path}`)
  for (const path of named(replaced)) invocation.print(`${paint('yellow', 'replaced')}  ${path}`)
  for (const path of named(kept))
    invocation.print(`${paint('yellow', 'kept    ')}  ${path}: it exists and differs; --force replaces it`)
  if (unchanged.length > 0)
    invocation.print(`${counted(unchanged.length, 'file is as it', 'files are as they')} would be written`)
}

/** What nobody but the reader can do, a sentence each. */
function remainingFor(answers: Answers): string[] {
  const { assumed, origin, issuer, audience, group, organization, team, ci } = answers
  const guesses: readonly (readonly [name: string, text: string])[] = [
    ['origin', `config/gateway.yaml: is ${origin} the address of your Devin API? A dedicated deployment has its own.`],
    ['issuer', `config/gateway.yaml: replace ${issuer} with the issuer of your SSO tokens.`],
    ['audience', `config/gateway.yaml: is ${audience} the audience of your tokens?`],
    ['group', `policies/teams/${team}.yaml: is ${group} the SSO group of the team? The policy tests name it, too.`],
    [
      'organization',
      `policies/: replace ${organization} with the id of an organization at Devin, in the team, the key and the tests.`,
    ],
  ]
  return [
    ...guesses.flatMap(([name, text]) => (assumed.has(name) ? [text] : [])),
    `At Devin: make a service user in ${organization} with ${keyPermissions.join(', ')}. Put its key into the environment variable ${keyVariable(answers)} (key ${keyId(answers)} in policies/keys.yaml).`,
    ...(ci === 'none' ? [] : [ciText[ci]]),
  ]
}

const packageText = 'In CI: set the variable DEVIN_GATEWAY_PACKAGE to the package of the gateway in your own registry.'
const ciText = {
  github: packageText,
  gitlab: `${packageText} Set the masked variable RIGHTS_TOKEN to a token that may comment on merge requests.`,
} as const

/** Run in the folder of the set. A config map has no folders, so each file is named. */
const kubernetesLines: readonly string[] = [
  'kubectl -n devin-gateway create configmap devin-gateway-config --from-file=config/gateway.yaml --dry-run=client -o yaml | kubectl apply -f -',
  "kubectl -n devin-gateway create configmap devin-gateway-policies $(find policies -type f | sed 's/^/--from-file=/') --dry-run=client -o yaml | kubectl apply -f -",
]

function tellWhatRemains(
  invocation: Invocation,
  configFile: string,
  testsPassed: number,
  remaining: readonly string[],
): void {
  const { paint } = invocation
  const near = relative('.', configFile)
  const config = shellWord(near.startsWith('..') ? configFile : near)
  invocation.printText(`
${paint('green', 'The set passes its check')}: ${counted(testsPassed, 'policy test')}.

Try it now, without key or SSO:
  npx devin-gateway sandbox --config ${config}

What remains before the first start:
${remaining.map((text, index) => `  ${index + 1}. ${text}`).join('\n')}

Then:
  npx devin-gateway check --config ${config}
  npx devin-gateway start --config ${config}

On Kubernetes, with deploy/kubernetes/ of the package; docs/deployment.md says what to set before:
${kubernetesLines.map((line) => `  ${line}`).join('\n')}`)
}
