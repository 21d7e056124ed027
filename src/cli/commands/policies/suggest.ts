// `suggest`: a tighter policy set as a patch, drawn from recorded decisions, with its proof.

import { realpath } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { unknownName } from '../../callers/known.ts'
import { counted, plural } from '../../../config/plural.ts'
import { loadCatalogue } from '../../../catalogue/load.ts'
import { Refused } from '../../../config/diagnostics.ts'
import { loadPolicies, type LoadedPolicies } from '../../../policy/loading/load.ts'
import type { PolicyText } from '../../../policy/loading/read-directory.ts'
import type { PolicySet, Team } from '../../../policy/model/policy-set.ts'
import { changedTexts, patchOf, tightenedTeam, withoutUnused, type TextOf } from '../../../policy/suggestion/changes.ts'
import { provenChanges, type Trial } from '../../../policy/suggestion/proof.ts'
import { deniedUnder, SeenRequests } from '../../../policy/suggestion/seen-requests.ts'
import { policyUseOf } from '../../../policy/suggestion/use.ts'
import { unservedRights } from '../../../policy/warnings/coverage.ts'
import { Problem } from '../../../problems.ts'
import { checkedBodyOf } from '../../../policy/decision/checked-body.ts'
import { principalFrom } from '../../../policy/tools/suite.ts'
import type { Command } from '../../invocation.ts'
import { readDecisions } from '../../logs/decisions.ts'
import { isElsewhere } from '../../policy-source.ts'
import { configOption, readRunningConfig } from '../../setup.ts'
import { UsageError } from '../../usage.ts'

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
    const periodMs = unused === null ? null : periodOf(unused)
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
    const logs = [...invocation.list('log'), ...invocation.positionals]
    const read = await readDecisions(logs, invocation.err, {
      repeated: (content, time) => requests.repeated(content, time),
      decision: (record, content) => requests.add(record, content),
    })
    const since = periodMs === null ? '' : new Date(Date.parse(read.last) - periodMs).toISOString()
    const ofTeam = requests.all.filter(
      ({ evaluation, lastSeen }) => lastSeen >= since && (team === null || evaluation.decision.team === team),
    )
    if (ofTeam.length === 0)
      throw new Error(
        `no recorded decision was allowed${team === null ? '' : ` by team ${team.id}`}: nothing can be drawn from this log`,
      )
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
    const seen = requests.all.filter(({ lastSeen }) => lastSeen >= since)
    const textOf = textsOf(directory, loaded)
    const use = policyUseOf(policy, seen)
    const wanted = team === null ? withoutUnused(policy, use, textOf) : tightenedTeam(policy, team, use, textOf)
    const filesWith = (texts: ReadonlyMap<string, string>): readonly PolicyText[] =>
      loaded.files.map(({ name: file, text }) => ({ name: file, text: texts.get(join(directory, file)) ?? text }))
    const trial: Trial = async (texts) => {
      try {
        const { policy: after } = await load(filesWith(texts))
        return deniedUnder(after, seen)
      } catch (error) {
        if (error instanceof Refused) return null
        throw error
      }
    }
    const proven = await provenChanges(policy, wanted, team, textOf, trial)
    const patch = patchOf(proven.changes, textOf, await namesFor(directory))
    const unserved = await leftUnserved(policy, load(filesWith(changedTexts(proven.changes, textOf))))
    const replayed = ofTeam.reduce((sum, { count }) => sum + count, 0)
    const proof = { replayed, denied: 0, minimal: true }
    const age = (Date.now() - Date.parse(read.last)) / dayMs
    const covers = (Date.parse(read.last) - Date.parse(read.first)) / dayMs
    const notes = [
      ...proven.changes.map(({ what }) => `- ${what}`),
      ...proven.kept.map(
        (what) => `kept, because a policy test, an invariant or the rest of the set needs it: ${what}`,
      ),
      ...(proven.changes.length === 0 ? ['nothing can be taken away'] : []),
      ...(read.gaps.length === 0
        ? []
        : [
            `note: the log has ${counted(read.gaps.length, 'gap')}, and what ${plural(read.gaps.length, 'it', 'they')} held is not covered`,
          ]),
      ...(requests.left === 0
        ? []
        : [
            `note: ${counted(requests.left, 'decision was', 'decisions were')} allowed then and ${plural(requests.left, 'is', 'are')} not under these policies, or cannot be decided again; ${plural(requests.left, 'it is', 'they are')} not covered`,
          ]),
      ...(periodMs !== null && covers * dayMs < periodMs
        ? [`note: the log covers ${covers.toFixed(1)} days, which is less than ${unused ?? ''}`]
        : []),
      ...(age < mostAge
        ? []
        : [
            `note: the log ends ${counted(Math.floor(age), 'day')} ago: what was used or added since then looks unused here`,
          ]),
      ...(unserved.length === 0
        ? []
        : [
            `note: ${counted(unserved.length, 'right')} would be left that no key serves (503): ${unserved.slice(0, mostNamed).join('; ')}${unserved.length > mostNamed ? `; and ${unserved.length - mostNamed} more` : ''}. Take the grant away as well, or keep the permission`,
          ]),
      `proof: ${counted(replayed, 'decision')} replayed, 0 denied that were allowed; ${team === null ? 'every grant that is left was used, is needed by a test or an invariant, or is in mode shadow or off' : 'no proposed grant can be dropped'}`,
    ]
    if (invocation.json)
      invocation.print(
        JSON.stringify({
          patch,
          grants: proven.grants,
          proof,
          changes: proven.changes.map(({ what }) => what),
          kept: proven.kept,
          unserved,
        }),
      )
    else {
      if (patch !== '') invocation.out.write(patch)
      for (const note of notes) invocation.tell(note)
    }
    return 0
  },
}

/** Rights that a key served before, and none does after. */
async function leftUnserved(before: PolicySet, after: Promise<LoadedPolicies>): Promise<readonly string[]> {
  const known = unservedRights(before)
  return [...unservedRights((await after).policy)].filter((each) => !known.has(each))
}

const mostNamed = 4
const dayMs = 86_400_000
/** In days: a log that is read where it is written ends today. */
const mostAge = 2

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
