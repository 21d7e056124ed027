// `suggest`: a tighter policy set as a patch, drawn from recorded decisions, with its proof.

import { realpath } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { unknownName } from '../../callers/known.ts'
import { loadCatalogue } from '../../../catalogue/load.ts'
import { Refused } from '../../../config/diagnostics.ts'
import { loadPolicies, type LoadedPolicies } from '../../../policy/loading/load.ts'
import type { PolicyText } from '../../../policy/loading/read-directory.ts'
import type { PolicySet, Team } from '../../../policy/model/policy-set.ts'
import { changedTexts, patchOf, tightenedTeam, withoutUnused, type TextOf } from '../../../policy/suggestion/changes.ts'
import { provenChanges, type Trial } from '../../../policy/suggestion/proof.ts'
import { deniedUnder, otherKeysUnder, SeenRequests } from '../../../policy/suggestion/seen-requests.ts'
import { policyUseOf } from '../../../policy/suggestion/use.ts'
import { unservedRights } from '../../../policy/warnings/coverage.ts'
import { Problem } from '../../../problems.ts'
import { checkedBodyOf } from '../../../policy/decision/checked-body.ts'
import { principalFrom } from '../../../policy/tools/suite.ts'
import type { Command, Invocation } from '../../invocation.ts'
import { readDecisions } from '../../logs/decisions.ts'
import { isElsewhere } from '../../policy-source.ts'
import { configOption, readRunningConfig } from '../../setup.ts'
import { UsageError } from '../../usage.ts'
import { suggestionNotes, suggestionView, type Suggestion, type UnusedFor } from './suggestion-report.ts'

export const suggestCommand: Command = {
  usage: 'suggest --log FILE… (--team T | --unused 30d) [--policies DIR] [--config F]',
  summary: 'write a patch that takes away what recorded decisions did not use, with its proof',
  positionals: 10_000,
  options: {
    ...configOption,
    policies: { type: 'string', help: "policy directory instead of the configuration's" },
    log: {
      type: 'string',
      multiple: true,
      help: 'decision log; repeatable, rotated and compressed ones too, - for standard input',
    },
    team: { type: 'string', help: 'the smallest grants of this team that cover what was seen' },
    unused: {
      type: 'string',
      help: 'what nobody used for so long before the last decision: grants, organizations, members, permissions of keys',
    },
  },
  async run(invocation) {
    const { name, unused, folder } = askedFor(invocation)
    const { config } = await readRunningConfig(invocation)
    const { catalogue } = await loadCatalogue(config.catalogue)
    const directory = resolve(folder ?? config.policiesDirectory)
    const load = (files?: readonly PolicyText[]): Promise<LoadedPolicies> =>
      loadPolicies({
        directory,
        ...(files === undefined ? {} : { files }),
        catalogue,
        sources: { env: invocation.env, origin: config.upstream.origin },
        secrets: 'reported',
      })
    const loaded = await load()
    const { policy } = loaded
    const team = name === null ? null : teamOf(policy, name)
    const requests = new SeenRequests(policy)
    const read = await readDecisions([...invocation.list('log'), ...invocation.positionals], invocation.err, {
      repeated: (content, time) => requests.repeated(content, time),
      decision: (record, content) => requests.add(record, content),
    })
    const since = unused === null ? '' : new Date(Date.parse(read.last) - unused.ms).toISOString()
    const ofTeam = requests.all.filter(
      ({ evaluation, lastSeen }) => lastSeen >= since && (team === null || evaluation.decision.team === team),
    )
    if (ofTeam.length === 0)
      throw new Error(
        `no recorded decision was allowed${team === null ? '' : ` by team ${team.id}`}: nothing can be drawn from this log`,
      )
    requireTests(requests, loaded)
    const seen = requests.all.filter(({ lastSeen }) => lastSeen >= since)
    const textOf = textsOf(directory, loaded)
    const use = policyUseOf(policy, seen)
    const wanted = team === null ? withoutUnused(policy, use, textOf) : tightenedTeam(policy, team, use, textOf)
    const loadWith = (texts: ReadonlyMap<string, string>): Promise<LoadedPolicies> =>
      load(loaded.files.map(({ name: file, text }) => ({ name: file, text: texts.get(join(directory, file)) ?? text })))
    const trial: Trial = async (texts) => {
      try {
        return deniedUnder((await loadWith(texts)).policy, seen)
      } catch (error) {
        if (error instanceof Refused) return null
        throw error
      }
    }
    const proven = await provenChanges(policy, wanted, team, textOf, trial)
    const { policy: after } = await loadWith(changedTexts(proven.changes, textOf))
    const suggestion: Suggestion = {
      proven,
      patch: patchOf(proven.changes, textOf, await namesFor(directory)),
      unserved: leftUnserved(policy, after),
      otherKeys: otherKeysUnder(after, seen),
      replayed: ofTeam.reduce((sum, { count }) => sum + count, 0),
      left: requests.left,
      ofTeam: team !== null,
      log: read,
      unused,
    }
    if (invocation.json) invocation.print(JSON.stringify(suggestionView(suggestion)))
    else {
      if (suggestion.patch !== '') invocation.out.write(suggestion.patch)
      for (const note of suggestionNotes(suggestion, Date.now())) invocation.tell(note)
    }
    return 0
  },
}

/** One of `name`, a team's, and `unused` is null. */
function askedFor(invocation: Invocation): { name: string | null; unused: UnusedFor | null; folder: string | null } {
  const name = invocation.option('team')
  const unused = invocation.option('unused')
  if (name === null && unused === null) throw new UsageError('say what to look for: --team T, or --unused 30d')
  if (name !== null && unused !== null)
    throw new UsageError('--team and --unused look for different things: run suggest once for each')
  const folder = invocation.option('policies')
  if (folder !== null && isElsewhere(folder))
    throw new UsageError(`--policies takes a directory here, not ${folder}: a patch changes files`)
  if (invocation.list('log').length === 0)
    throw new UsageError('say which decisions: --log decisions.ndjson, or --log - for standard input')
  return { name, unused: unused === null ? null : { text: unused, ms: periodOf(unused) }, folder }
}

/** What policy tests ask for counts as used. */
function requireTests(requests: SeenRequests, loaded: LoadedPolicies): void {
  for (const { principal, test, devinUser } of requestsOfTests(loaded)) {
    const [method = '', address = ''] = test.do.split(/ +/)
    const body = test.body === undefined ? null : checkedBodyOf(test.body)
    try {
      requests.require(principal, method, address, body, devinUser)
    } catch (error) {
      // Tests may speak of paths that are refused.
      if (!(error instanceof Problem)) throw error
    }
  }
}

/** Rights that a key served before, and none does after. */
function leftUnserved(before: PolicySet, after: PolicySet): readonly string[] {
  const known = unservedRights(before)
  return [...unservedRights(after)].filter((each) => !known.has(each))
}

const dayMs = 86_400_000

function periodOf(text: string): number {
  const found = /^([1-9]\d{0,4})([hdw])$/.exec(text)
  if (found === null) throw new UsageError(`--unused takes a time like 30d, 12h or 8w, not ${JSON.stringify(text)}`)
  const unit = found[2] === 'h' ? dayMs / 24 : found[2] === 'd' ? dayMs : 7 * dayMs
  return Number(found[1]) * unit
}

function teamOf(policy: PolicySet, name: string): Team {
  const team = policy.team(name)
  if (team !== null) return team
  const ids = policy.teams.map(({ id }) => id)
  throw unknownName('team', name, ids)
}

function textsOf(directory: string, { files }: LoadedPolicies): TextOf {
  const texts = new Map(files.map(({ name, text }) => [join(directory, name), text]))
  return (file) => texts.get(file) ?? ''
}

/** The requests of the policy tests. */
function requestsOfTests({ tests }: LoadedPolicies) {
  return tests.flatMap(({ blocks }) =>
    blocks.flatMap(({ as, cases }) =>
      cases.map((test) => ({
        principal: principalFrom(as),
        test,
        devinUser: as.devin_user_id === undefined ? undefined : { id: as.devin_user_id },
      })),
    ),
  )
}

/** Files as `git apply` and `patch -p1` find them: below the repository, else below the working directory or the folder's parent. */
async function namesFor(directory: string): Promise<(file: string) => string> {
  const real = await realpath(directory)
  const { execFile } = await import('node:child_process')
  const top = await new Promise<string>((found) => {
    execFile('git', ['-C', real, 'rev-parse', '--show-toplevel'], (error, out) =>
      found(error === null ? out.trim() : ''),
    )
  })
  const from =
    top !== ''
      ? top
      : real.startsWith(`${await realpath(process.cwd())}/`)
        ? await realpath(process.cwd())
        : dirname(real)
  return (file) => relative(from, join(real, relative(directory, file)))
}
