// What `init` has to know: taken from options, asked on a terminal, else a usual value that is named as what remains to be done.

import { createInterface } from 'node:readline/promises'
import { id } from '../../config/fields.ts'
import { parseIssuer, parseUpstream } from '../../config/values/addresses.ts'
import { organizationId } from '../../policy/documents/document-fields.ts'
import type { Invocation } from '../invocation.ts'
import { UsageError } from '../usage.ts'

const ciKinds = ['github', 'gitlab', 'none'] as const
export type CiKind = (typeof ciKinds)[number]

export interface Answers {
  readonly origin: string
  readonly issuer: string
  readonly audience: string
  readonly team: string
  readonly group: string
  readonly organization: string
  readonly ci: CiKind
  /** Names of those that nobody has given. */
  readonly assumed: ReadonlySet<string>
  /** Neither asked nor told to take the usual values: there is no terminal. */
  readonly unasked: boolean
}

interface Question {
  readonly name: Exclude<keyof Answers, 'assumed' | 'unasked'>
  readonly text: string
  /** The usual answer, by what was answered before. */
  readonly usual: (before: Readonly<Record<string, string>>) => string
  /** What is wrong with an answer, or null. */
  readonly problem: (answer: string) => string | null
}

const questions: readonly Question[] = [
  {
    name: 'origin',
    text: 'Address of the Devin API (a dedicated deployment has its own)',
    usual: () => 'https://api.devin.ai',
    problem: (answer) => errorOf(parseUpstream(answer)),
  },
  {
    name: 'issuer',
    text: 'Issuer of your SSO tokens, as their iss claim spells it',
    usual: () => 'https://sso.corp.example',
    problem: (answer) => errorOf(parseIssuer(answer)),
  },
  {
    name: 'audience',
    text: 'Audience of the gateway in these tokens',
    usual: () => 'devin-gateway',
    problem: oneLine,
  },
  {
    name: 'team',
    text: 'Name of the first team',
    usual: () => 'developers',
    problem: (answer) => issueOf(id().safeParse(answer)),
  },
  {
    name: 'group',
    text: 'SSO group of its members',
    usual: ({ team = '' }) => `sso-${team}`,
    problem: oneLine,
  },
  {
    name: 'organization',
    text: 'Id of its organization at Devin',
    usual: ({ team = '' }) => `org-${team}`,
    problem: organizationProblem,
  },
  {
    name: 'ci',
    text: 'CI that should check every change (github, gitlab, none)',
    usual: () => 'github',
    problem: (answer) => (ciKinds.some((kind) => kind === answer) ? null : 'must be github, gitlab or none'),
  },
]

/** Options of the command, one for each question. */
export const answerOptions = Object.fromEntries(
  questions.map(({ name, text, usual }) => [
    name,
    { type: 'string' as const, help: `${text} (default: ${usual({ team: 'TEAM' })})` },
  ]),
)

/**
 * The answers. Asks on a terminal, unless `--yes` or `--json` says otherwise. Throws a usage error for an option that cannot be used, and
 * when the terminal is closed before the last answer.
 */
export async function answersFor(invocation: Invocation): Promise<Answers> {
  const given: Record<string, string> = {}
  const assumed = new Set<string>()
  for (const { name, problem } of questions) {
    const answer = invocation.option(name)
    const wrong = answer === null ? null : problem(answer)
    if (wrong !== null) throw new UsageError(`--${name}: ${wrong}`)
    if (answer !== null) given[name] = answer
  }
  const terminal = terminalOf(invocation)
  try {
    for (const question of questions) {
      if (given[question.name] !== undefined) continue
      const usual = question.usual(given)
      const answer = terminal === null ? usual : await terminal.ask(question, usual)
      given[question.name] = answer
      if (answer === usual) assumed.add(question.name)
    }
  } finally {
    terminal?.close()
  }
  // Every question has its answer, checked above.
  const unasked = terminal === null && assumed.size > 0 && !invocation.flag('yes')
  return { ...(given as unknown as Omit<Answers, 'assumed' | 'unasked'>), assumed, unasked }
}

/** What was chosen for those who could not be asked, and how to say something else. */
export function choicesText({ assumed, ...answers }: Answers): string {
  const chosen = questions.filter(({ name }) => assumed.has(name)).map(({ name }) => `  --${name} ${answers[name]}`)
  return `Nobody could be asked, because this is no terminal. init chose:
${chosen.join('\n')}
Give these options to say something else, or run init on a terminal. --yes takes these values without a word.`
}

interface Terminal {
  ask(question: Question, usual: string): Promise<string>
  close(): void
}

function terminalOf({ input, out, json, flag }: Invocation): Terminal | null {
  if (json || flag('yes') || input === undefined || !isTerminal(input) || !isTerminal(out)) return null
  const lines = createInterface({ input, output: out, terminal: true })
  // Keeps what is typed or pasted ahead of its question.
  const typed = lines[Symbol.asyncIterator]()
  return {
    async ask({ text, problem }, usual) {
      for (;;) {
        lines.setPrompt(`${text} [${usual}]: `)
        lines.prompt()
        const line = await typed.next()
        if (line.done === true) throw new Error('stopped; nothing was written')
        const answer = line.value.trim() === '' ? usual : line.value.trim()
        const wrong = problem(answer)
        if (wrong === null) return answer
        out.write(`  ${wrong}\n`)
      }
    },
    close: () => lines.close(),
  }
}

function isTerminal(stream: object): boolean {
  return 'isTTY' in stream && stream.isTTY === true
}

function errorOf(parsed: { readonly value: unknown } | { readonly error: string }): string | null {
  return 'error' in parsed ? parsed.error : null
}

function issueOf({
  error,
}: {
  readonly error?: { readonly issues: readonly { readonly message: string }[] } | undefined
}): string | null {
  return error?.issues[0]?.message ?? null
}

/** An id that the policies could hold may still hold what no request line can. */
function organizationProblem(answer: string): string | null {
  const unusable = /^\w[\w.~@:+=,-]*$/.test(answer)
    ? null
    : 'an organization id holds letters, digits, ".", "_" and "-", as Devin shows it'
  return issueOf(organizationId().safeParse(answer)) ?? unusable
}

function oneLine(answer: string): string | null {
  return /^[^\p{Cc}]+$/u.test(answer) && answer.trim() === answer
    ? null
    : 'must be one line of text, without spaces around it'
}
