// The command line: finds the command, parses its options, prints help and turns outcomes into exit codes
// (0 fine, 1 refused or failed, 2 usage).

import { parseArgs } from 'node:util'
import { formatDiagnostic, Refused } from '../config/diagnostics.ts'
import { didYouMean } from '../config/nearest.ts'
import { synonymOf } from '../config/synonyms.ts'
import { maskSecrets } from '../records/mask.ts'
import type { Command, Invocation, Streams } from './invocation.ts'
import { forPeople, isColourful, lineForPeople, painter } from './style.ts'
import { UsageError } from './usage.ts'

/** Loaded on demand: `start` should not load what only the sandbox needs. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  init: async () => (await import('./commands/init.ts')).initCommand,
  start: async () => (await import('./commands/start.ts')).startCommand,
  sandbox: async () => (await import('./commands/sandbox.ts')).sandboxCommand,
  token: async () => (await import('./commands/sandbox.ts')).tokenCommand,
  check: async () => (await import('./commands/check.ts')).checkCommand,
  explain: async () => (await import('./commands/explain.ts')).explainCommand,
  test: async () => (await import('./commands/check.ts')).testCommand,
  diff: async () => (await import('./commands/diff.ts')).diffCommand,
  simulate: async () => (await import('./commands/policies/simulate.ts')).simulateCommand,
  suggest: async () => (await import('./commands/policies/suggest.ts')).suggestCommand,
  shadow: async () => (await import('./commands/policies/shadow.ts')).shadowCommand,
  matrix: async () => (await import('./commands/policies/matrix.ts')).matrixCommand,
  keys: async () => (await import('./commands/keys.ts')).keysCommand,
  rotate: async () => (await import('./keys/rotate.ts')).rotateCommand,
  budget: async () => (await import('./commands/budget.ts')).budgetCommand,
  catalogue: async () => (await import('./commands/catalogue.ts')).catalogueCommand,
  drift: async () => (await import('./commands/drift.ts')).driftCommand,
  block: async () => (await import('./blocks/commands.ts')).blockCommand,
  unblock: async () => (await import('./blocks/commands.ts')).unblockCommand,
  blocks: async () => (await import('./blocks/commands.ts')).blocksCommand,
  purge: async () => (await import('./commands/purge.ts')).purgeCommand,
  doctor: async () => (await import('./doctor/command.ts')).doctorCommand,
  audit: async () => (await import('./commands/audit.ts')).auditCommand,
}

/** Runs one command line and resolves with its exit code. Never rejects. */
export async function run(argv: readonly string[], streams: Streams): Promise<number> {
  const [name, ...rest] = argv
  const asked = name === 'help' ? (rest[0] ?? '') : ''
  if (Object.hasOwn(commands, asked)) return await run([asked, '--help'], streams)
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    streams.out.write(await overview())
    return name === undefined ? 2 : 0
  }
  if (versionNames.includes(name)) {
    const { versionText } = await import('./version.ts')
    streams.out.write(`${versionText(streams.env, rest.includes('--json'))}\n`)
    return 0
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined) {
    // Not the whole list: the sentence would scroll away.
    streams.err.write(
      `devin-gateway: ${lineForPeople(unknownCommand(name), false)}\nThe commands are ${Object.keys(commands).join(', ')}.\nSee "devin-gateway --help".\n`,
    )
    return 2
  }
  const command = await load()
  try {
    return await command.run(invocationOf(command, rest, streams))
  } catch (error) {
    return fail(error, name, command, streams, rest.includes('--json'))
  }
}

const versionNames: readonly string[] = ['version', '--version', '-v', '-V']

function unknownCommand(name: string): string {
  if (!name.startsWith('-'))
    return `unknown command "${name}"${didYouMean(name, [...Object.keys(commands), 'version', 'help'])}`
  const near = didYouMean(name, ['--version', '--help'])
  return `unknown option "${name}"${near === '' ? ': options stand behind a command, as in "devin-gateway check --json"' : near}`
}

function invocationOf(command: Command, argv: readonly string[], streams: Streams): Invocation {
  const { values, positionals } = parse(command, argv)
  if (values['help'] === true) throw new UsageError('')
  const stray = positionals[command.positionals]
  if (stray !== undefined) throw new UsageError(`"${stray}" is one argument too many${optionMeant(command, stray)}`)
  return {
    ...streams,
    positionals,
    json: values['json'] === true,
    option: (option) => (typeof values[option] === 'string' ? values[option] : null),
    list: (option) => {
      const found = values[option]
      return Array.isArray(found) ? found.filter((value) => typeof value === 'string') : []
    },
    flag: (option) => values[option] === true,
    print: (text) => writeLine(streams.out, text, streams.env),
    printText: (text) => void streams.out.write(`${forPeople(text)}\n`),
    tell: (text) => writeLine(streams.err, text, streams.env),
    paint: painter(streams.out, streams.env),
  }
}

function writeLine(stream: NodeJS.WritableStream, text: string, env: Streams['env']): void {
  stream.write(`${lineForPeople(text, isColourful(stream, env))}\n`)
}

function parse(command: Command, argv: readonly string[]): ReturnType<typeof parseArgs> {
  const options = { ...command.options, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const
  try {
    const parsed = parseArgs({ args: [...argv], options, allowPositionals: true })
    refuseEmpty(parsed)
    return parsed
  } catch (error) {
    throw error instanceof UsageError
      ? error
      : new UsageError(argumentProblem(error instanceof Error ? error.message : '', options))
  }
}

/** A variable of a script that is not set leaves an empty word, which would be read as a name: `.` as a file, a team "". */
function refuseEmpty({ values, positionals }: ReturnType<typeof parseArgs>): void {
  const empty = Object.entries(values).find(([, value]) => [value].flat().includes(''))
  if (empty !== undefined) throw new UsageError(`--${empty[0]} needs a value behind it, and this one is empty`)
  if (positionals.includes('')) throw new UsageError('an argument is empty: leave it out, or say what it should be')
}

/** What Node.js says of arguments, in our words. */
function argumentProblem(message: string, options: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(options).map((option) => `--${option}`)
  const named = /'(?:-\w, )?(--?[^' ]+)/.exec(message)?.[1] ?? 'an option'
  if (message.startsWith('Unknown option')) {
    // What another product calls so comes before what is spelled alike.
    const known = Object.keys(options).map((option) => option.replaceAll('-', '_'))
    const meant = synonymOf(named.replace(/^-+/, ''), known)
    const hint = meant === null ? didYouMean(named, names) : `; did you mean "--${meant.replaceAll('_', '-')}"?`
    return `unknown option "${named}"${hint}`
  }
  if (message.includes('does not take')) return `${named} takes no value`
  return `${named} needs a value behind it`
}

/** A file or folder that stands alone was most likely meant for an option. */
function optionMeant({ options }: Command, stray: string): string {
  const option = /\.ya?ml$/.test(stray) ? 'config' : /\/|^policies/.test(stray) ? 'policies' : null
  return option !== null && Object.hasOwn(options, option) ? `; did you mean "--${option} ${stray}"?` : ''
}

function fail(error: unknown, name: string, command: Command, streams: Streams, json: boolean): number {
  if (error instanceof UsageError) {
    if (error.message === '') {
      streams.out.write(help(command))
      return 0
    }
    // Not the whole help: the sentence would scroll away.
    streams.err.write(
      `devin-gateway ${name}: ${forPeople(error.message)}\nUsage: devin-gateway ${command.usage}\nSee "devin-gateway ${name} --help".\n`,
    )
    return 2
  }
  if (error instanceof Refused) {
    if (json) streams.out.write(`${forPeople(JSON.stringify({ ok: false, diagnostics: error.diagnostics }))}\n`)
    else for (const each of error.diagnostics) writeLine(streams.err, formatDiagnostic(each), streams.env)
    return 1
  }
  // A library may quote what it was given.
  const message = maskSecrets(error instanceof Error ? error.message : String(error))
  if (json) streams.out.write(`${forPeople(JSON.stringify({ ok: false, error: message }))}\n`)
  else streams.err.write(`devin-gateway ${name}: ${forPeople(message)}\n`)
  return 1
}

async function overview(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map((load) => load()))
  const lines = all.map(({ usage, summary }) => `  ${usage}\n      ${summary}`)
  return `Usage: devin-gateway <command> [options]\n\n${lines.join('\n')}\n\nEvery command takes --json and --help; devin-gateway --version says which version this is. Exit codes: 0 fine, 1 refused or failed, 2 usage.\n`
}

function help({ usage, summary, options }: Command): string {
  const entries = Object.entries(options)
  const width = Math.max(8, ...entries.map(([name]) => name.length + 2))
  const lines = [
    ...entries.map(([name, { help: text }]) => `  ${`--${name}`.padEnd(width)}  ${text}`),
    `  ${'--json'.padEnd(width)}  machine-readable output`,
  ]
  return `Usage: devin-gateway ${usage}\n${summary}\n\n${lines.join('\n')}\n`
}
