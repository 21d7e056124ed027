// `explain`: a decision step by step, with the grant, the key and the nearest miss.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { organizationNotes, refuseMisspelled, unknownNotes } from '../callers/known.ts'
import type { Config } from '../../config/load.ts'
import { isExpired } from '../../keys/expiry.ts'
import { untrustedIssuer } from '../../policy/tools/described-caller.ts'
import { explain, type ExplainedRequest } from '../../policy/tools/explain.ts'
import { withRefusal, withSteps, type Explanation } from '../../policy/tools/explanation.ts'
import { parseCheckedBody, type CheckedBody } from '../../policy/decision/checked-body.ts'
import { StrictJsonError } from '../../json/strict-json-error.ts'
import type { Principal } from '../../identity/principal.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { readWritten } from '../../policy/requests/written-request.ts'
import type { RecordedDecision } from '../../policy/replay/recorded-decision.ts'
import { differencesOf, explainRecord } from '../../policy/tools/explained-record.ts'
import { principalFrom } from '../../policy/tools/suite.ts'
import { askBlocks, withBlocks, withoutBlocked, type AskedBlocks } from '../blocks/explained-blocks.ts'
import { callerFrom, callerOptions } from '../callers/caller.ts'
import { findDecision } from '../logs/find-decision.ts'
import { readToken, type ReadToken } from '../callers/token.ts'
import { readInput } from '../input.ts'
import type { Command, Invocation } from '../invocation.ts'
import { refusalNotes } from '../policy-source.ts'
import { configOption, loadSetup, policiesOption, readRunningConfig, type Setup } from '../setup.ts'
import { printList, printOne } from '../explain/print.ts'
import type { Problem } from '../../problems.ts'
import { UsageError } from '../usage.ts'

export const explainCommand: Command = {
  usage:
    'explain (--team T | --token FILE|- | --decision ID [--log FILE]…) [--app A] [--group G]… [--issuer I] [--claim NAME=VALUE]… [METHOD] PATH|OPERATION [--organization O] [--body JSON|-] [--devin-user ID] [--policies DIR]',
  summary:
    'show how a request would be decided, which key would serve it, and, if it is denied, which rule comes nearest',
  positionals: 100,
  options: {
    ...callerOptions,
    ...configOption,
    ...policiesOption,
    token: { type: 'string', help: 'a file with the token of the caller, or - for standard input' },
    decision: { type: 'string', help: 'id of a recorded decision to explain again' },
    log: {
      type: 'string',
      multiple: true,
      help: 'decision log to search (default: the one of the configuration); repeatable',
    },
    organization: { type: 'string', help: 'the organization that the operation is about' },
    body: { type: 'string', help: 'JSON body of the request, or - for standard input' },
    'devin-user': { type: 'string', help: "the caller's user at Devin, in place of its member list" },
  },
  async run(invocation) {
    refuseConflicts(invocation)
    const decision = decisionOf(invocation)
    if (decision === null && wordsOf(invocation).length === 0) throw new UsageError(howToAsk)
    const setup = await loadSetup(invocation, { read: readRunningConfig, tests: 'ignored' })
    return decision === null
      ? await explainWritten(invocation, setup)
      : await explainRecorded(invocation, setup, decision)
  },
}

const howToAsk = 'say a method and a path: explain --team payments GET /v3/self'

/**
 * The decision asked about, also where its id, or the beginning of it, stands without an option, or as `instance` of a problem
 * document spells it.
 */
function decisionOf(invocation: Invocation): string | null {
  const named = invocation.option('decision') ?? invocation.positionals.find((word) => decisionId.test(word))
  return named?.replace(/^urn:uuid:/, '') ?? null
}

const decisionId = /^(urn:uuid:)?[0-9a-f]{8}(-[0-9a-f-]{0,27})?$/

/** With a decision all words are files: a shell expands `--log decisions*.ndjson` to several. */
function wordsOf({ positionals }: Invocation): readonly string[] {
  return positionals.filter((word) => !decisionId.test(word))
}

function refuseConflicts(invocation: Invocation): void {
  const { option } = invocation
  if (option('token') === '-' && option('body') === '-')
    throw new UsageError('--token - and --body - both read standard input: name a file with the token')
  const callers = ['team', 'sub', 'email', 'app', 'actor', 'issuer'].filter((name) => invocation.option(name) !== null)
  const lists = ['group', 'claim'].filter((name) => invocation.list(name).length > 0)
  const [described] = [...callers, ...lists]
  for (const name of ['token', 'decision'] as const) {
    const isSaid = (name === 'decision' ? decisionOf(invocation) : invocation.option(name)) !== null
    if (isSaid && described !== undefined)
      throw new UsageError(`--${name} says who is calling: leave out --${described}`)
  }
  if (invocation.option('token') !== null && decisionOf(invocation) !== null)
    throw new UsageError('--decision says who is calling: leave out --token')
  if (decisionOf(invocation) === null && invocation.list('log').length > 0)
    throw new UsageError('--log is where --decision ID is looked for: say which decision')
}

async function explainWritten(invocation: Invocation, { config, loaded }: Setup): Promise<number> {
  const token = await tokenOf(invocation, config)
  const principal =
    token === null ? principalFrom(callerFrom(invocation, loaded.policy, config.issuers)) : token.principal
  const blocks = await askBlocks(config, invocation)
  const policy = withoutBlocked(loaded.policy, blocks)
  const said = invocation.option('organization')
  if (said !== null) refuseMisspelled(said, policy)
  const [team] = principal === null ? [] : policy.teamsOf(principal)
  const organization = said ?? team?.defaultOrganization ?? null
  const written = readWritten(policy.catalogue, wordsOf(invocation), { organization, isSaid: said !== null })
  if (typeof written === 'string') throw new UsageError(`${written}${whereToFind(written, wordsOf(invocation))}`)
  const notes = [
    ...refusalNotes(loaded).map((text) => text.replace(/^note: /, '')),
    ...callerNotes(invocation),
    ...unknownNotes(invocation, policy),
    ...issuerNotes(invocation, config, principal),
    ...written.notes,
  ]
  const body = await bodyOf(invocation)
  const problem =
    token === null && principal !== null ? untrustedIssuer(principal.issuer, config.issuers) : token?.problem
  const found = written.requests.map((request) => {
    const asked = { ...request, body, ...devinUserOf(invocation) }
    return explainFor(policy, principal, asked, { problem: problem ?? null, unchecked: token?.note ?? null, blocks })
  })
  notes.push(...organizationNotes(found, policy))
  const [only] = found
  if (only !== undefined && found.length === 1)
    return printOne(invocation, sayUnasked(withSteps(only, notes.map(note)), blocks))
  return printList(invocation, found, blocks.unasked === null ? notes : [...notes, blocks.unasked])
}

/** How to find an operation, where none is near what was written. */
function whereToFind(problem: string, words: readonly string[]): string {
  return problem.startsWith('unknown') && !problem.includes('did you mean')
    ? `. "devin-gateway catalogue ${words.join(' ')}" finds operations by their words`
    : ''
}

function note(text: string): Explanation['steps'][number] {
  return { stage: 'note', ok: true, text }
}

/** The explanation, which ends with why blocks are not part of it where they are not. */
function sayUnasked(found: Explanation, { unasked }: AskedBlocks): Explanation {
  return unasked === null ? found : { ...found, steps: [...found.steps, note(unasked)] }
}

/** Without a word about the caller the answer is about somebody of no team, which is hardly what was meant. */
function callerNotes(invocation: Invocation): readonly string[] {
  const isDescribed = Object.keys(callerOptions).some(
    (name) => invocation.option(name) !== null || invocation.list(name).length > 0,
  )
  if (isDescribed || invocation.option('token') !== null) return []
  return [
    'nothing says who is calling, so this is about a caller without a team: add --team T, --token FILE or --group G',
  ]
}

async function tokenOf(invocation: Invocation, config: Config): Promise<ReadToken | null> {
  const file = invocation.option('token')
  if (file === null) return null
  const text = await readInput(file, 65_536)
  if (text.trim() === '')
    throw new UsageError(`${file === '-' ? 'standard input' : file} is empty: it should hold the token`)
  return await readToken(text, config.issuers, Date.now)
}

interface CallerChecks {
  /** What the gateway refuses the caller's token with. */
  readonly problem: Problem | null
  /** What of the token could not be checked from here. */
  readonly unchecked: string | null
  readonly blocks: AskedBlocks
}

/** The explanation, with what the gateway checks before it and after it. */
function explainFor(
  policy: PolicySet,
  principal: Principal | null,
  request: ExplainedRequest,
  { problem, unchecked, blocks }: CallerChecks,
): Explanation {
  if (principal === null) {
    if (problem === null) throw new Error('nobody is asked about')
    return withRefusal(null, policy, request, problem)
  }
  const explained = explain(policy, principal, request)
  const steps = unchecked === null ? [] : [note(unchecked)]
  if (problem !== null) return withSteps(withRefusal(explained, policy, request, problem), steps)
  const found = withBlocks(explained, policy, principal, blocks)
  const key = policy.keys.find(({ id }) => id === found.key)
  if (found.effect === 'deny' || key === undefined || !isExpired(key, Date.now())) return withSteps(found, steps)
  const text = `the key ${key.id} has expired, by \`expires\` in the inventory; no stronger key takes its place`
  return withSteps(
    {
      ...found,
      effect: 'deny',
      reason: 'key-expired',
      problem: 'key-unavailable',
      detail: text,
      steps: [...found.steps, { stage: 'key', ok: false, text }],
    },
    steps,
  )
}

/** Which issuer is meant where there are several and none was said. */
function issuerNotes(invocation: Invocation, { issuers }: Config, principal: Principal | null): readonly string[] {
  if (principal === null || invocation.option('token') !== null || invocation.option('issuer') !== null) return []
  return issuers.length > 1 && untrustedIssuer(principal.issuer, issuers) === null
    ? [`as a caller of the issuer ${principal.issuer}: --issuer says another one`]
    : []
}

function devinUserOf(invocation: Invocation): Pick<ExplainedRequest, 'devinUser'> {
  const id = invocation.option('devin-user')
  return { devinUser: id === null ? undefined : { id } }
}

async function explainRecorded(invocation: Invocation, { config, loaded }: Setup, id: string): Promise<number> {
  const blocks = await askBlocks(config, invocation)
  const policy = withoutBlocked(loaded.policy, blocks)
  const named = [...invocation.list('log'), ...wordsOf(invocation)]
  const { decisions } = config.records
  const files = named.length > 0 ? named : decisions === 'stdout' || decisions === 'stderr' ? [] : [decisions]
  if (files.length === 0)
    throw new UsageError('say where the decision is recorded: --log decisions.ndjson, or --log - for standard input')
  const record = await findDecision(
    id,
    files.map((file) => (file === '-' ? file : resolve(file))),
  ).catch((error: unknown) => {
    if (named.length > 0 || !(error instanceof Error) || existsSync(decisions)) throw error
    throw new Error(`${error.message}. The configuration names it as records.decisions: name another one with --log`, {
      cause: error,
    })
  })
  const again = explainRecord(policy, record, devinUserOf(invocation).devinUser)
  if (typeof again === 'string') {
    const { decision_id: decision, detail } = record
    const said =
      detail === null || detail === undefined ? '' : `. It was ${recordedText(record)}. The answer said: ${detail}`
    throw new Error(`the decision ${decision} cannot be made again: ${again.replace(/\.$/, '')}${said}`)
  }
  const { replay, explanation, missing } = again
  const untrusted = untrustedIssuer(replay.principal.issuer, config.issuers)
  const { method, path: target } = explanation
  const found =
    untrusted === null
      ? withBlocks(explanation, policy, replay.principal, blocks)
      : withRefusal(explanation, policy, { method, target }, untrusted)
  const differences = differencesOf(record, found)
  const steps = [note(recordedText(record)), ...missing.map((what) => note(`the record does not hold ${what}`))]
  const verdict =
    differences.length === 0 ? 'now decided in the same way' : `now decided otherwise: ${differences.join('; ')}`
  const shown = withSteps(found, [...steps, note(verdict)])
  const more = { recorded: record, same: differences.length === 0, missing }
  return printOne(invocation, sayUnasked(shown, blocks), more)
}

function recordedText({ time, effect, reason, team, grant, key, policy_revision: revision }: RecordedDecision): string {
  const by = [
    grant === null || grant === undefined || effect === 'deny' ? null : `grant ${grant}`,
    team === null || team === undefined ? null : `team ${team}`,
  ]
  const who = by.filter((each) => each !== null).join(' of ')
  const how = effect === 'deny' ? 'in' : 'by'
  return `recorded at ${time}: ${effect} (${reason})${who === '' ? '' : ` ${how} ${who}`}${key === null || key === undefined ? '' : `, with key ${key}`}, under policy revision ${revision ?? 'unknown'}`
}

async function bodyOf(invocation: Invocation): Promise<CheckedBody | null> {
  const given = invocation.option('body')
  if (given === null) return null
  const text = given === '-' ? await readInput('-', 16 * 1024 * 1024) : given
  try {
    return parseCheckedBody(Buffer.from(text))
  } catch (error) {
    throw error instanceof StrictJsonError ? new UsageError(`--body cannot be read: ${error.message}`) : error
  }
}
