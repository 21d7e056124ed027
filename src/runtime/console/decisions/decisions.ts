// Decisions as operators look for them: in memory first, then in the record files; and one of them, step by step.

import type {
  DecisionDetailView,
  DecisionQuery,
  DecisionsView,
  DecisionView,
  SearchedView,
} from '../../../admin/console/decision-view.ts'
import { cursorText, readDecisionQuery } from '../../../admin/console/query.ts'
import { differencesOf, explainRecord } from '../../../policy/tools/explained-record.ts'
import type { DecisionContent, DecisionEntry } from '../../../records/entries.ts'
import { recordJson } from '../../../records/safe-text.ts'
import type { ConsoleOptions } from '../console-options.ts'
import { openFileDecisions, viewOfEntry, type FoundInFiles } from './file-decisions.ts'
import { newestFirst, searchRecent, viewOfRecent } from './recent-search.ts'

/** A decision that was found, with its record. */
export interface FoundDecision {
  readonly view: DecisionView
  readonly entry: DecisionEntry
  readonly searched: SearchedView
}

export function openDecisions({ core, blocks }: ConsoleOptions) {
  const { config, monotonic, recent } = core
  const files = openFileDecisions(config.records.decisions, monotonic)

  function searchedView(found: FoundInFiles | null, wereFilesAsked: boolean): SearchedView {
    const memory = {
      decisions: recent.size,
      bytes: recent.bytes,
      max_bytes: recent.maxBytes,
      oldest: recent.oldest?.time ?? null,
    }
    if (!wereFilesAsked) return { memory, files: null, note: 'The decisions in memory were searched.' }
    if (found === null)
      return {
        memory,
        files: null,
        note: `The decisions in memory were searched. The records go to ${config.records.decisions}, so older ones are not searched here.`,
      }
    const { names, bytes, oldest, isComplete, unread } = found.read
    const rest =
      unread.length === 0
        ? ''
        : ` Compressed files that were not read to their end, because they are too large or broken: ${unread.slice(0, 5).join(', ')}. Search them with "devin-gateway explain --decision ID --log FILE".`
    const howFar = isComplete
      ? 'to their beginning'
      : `back to ${oldest ?? 'their end'}; the next page goes on from there`
    return {
      memory,
      files: { names, bytes, oldest, complete: isComplete && unread.length === 0 },
      note: `The decisions in memory and the record files were searched, ${howFar}.${rest}`,
    }
  }

  async function search(query: DecisionQuery): Promise<DecisionsView> {
    const inMemory = searchRecent(recent, query)
    const reachesBack = query.from !== null && (recent.oldest?.time ?? '~') < query.from
    const isAllInMemory = recent.total === recent.size && query.cursor === null && query.to === null && recent.total > 0
    const needsFiles = inMemory.length <= query.limit && !reachesBack && !(isAllInMemory && inMemory.length > 0)
    const known = new Set(needsFiles ? [...recent.newestFirst()].map(({ decision_id: id }) => id) : [])
    const most = query.limit + 1 - inMemory.length
    const found = needsFiles ? await files.search(query, most, (id) => known.has(id)) : null
    const all = [...inMemory, ...(found?.entries ?? []).map(viewOfEntry)].sort(newestFirst)
    const page = all.slice(0, query.limit)
    const last = page.at(-1)
    const goesOn = all.length > page.length
    // A search that was cut off goes on behind the oldest record that it has read.
    const isFurther = (found?.read.oldest ?? '~') < (query.cursor?.time ?? '~')
    const cut = found !== null && !found.read.isComplete && isFurther && !goesOn
    const next =
      goesOn && last !== undefined
        ? cursorText({ time: last.time, id: last.decision_id })
        : cut
          ? cursorText({ time: found.read.oldest ?? '', id: '0' })
          : null
    return { decisions: page, next, searched: searchedView(found, needsFiles) }
  }

  /** Null where it is found nowhere. */
  async function find(id: string): Promise<FoundDecision | null> {
    const inMemory = recent.find(id)
    if (inMemory !== null) {
      const { access, content, stage, sent } = inMemory
      const { time, decision_id, request_id, outcome: how } = access
      const text = recordJson({ time, decision_id, request_id, ended: { how, stage, sent } })
      const entry = {
        ...(JSON.parse(text) as object),
        ...(JSON.parse(content || '{}') as DecisionContent),
      } as DecisionEntry
      return { view: viewOfRecent(inMemory), entry, searched: searchedView(null, false) }
    }
    const query = readDecisionQuery({ id, limit: '1' })
    const found = await files.search(query, 1, () => false)
    const entry = found?.entries[0]
    return entry === undefined ? null : { view: viewOfEntry(entry), entry, searched: searchedView(found, true) }
  }

  async function detail(id: string): Promise<DecisionDetailView | null> {
    const found = await find(id)
    if (found === null) return null
    const { view, entry, searched } = found
    const policy = blocks.policy()
    const again = explainRecord(policy, entry)
    const differences = typeof again === 'string' ? [] : differencesOf(entry, again.explanation)
    return {
      decision: view,
      caller: {
        subject: entry.subject ?? null,
        issuer: entry.issuer ?? null,
        email: entry.email ?? null,
        email_verified: entry.email_verified ?? false,
        app: entry.app ?? null,
        actor: entry.actor ?? null,
        groups: entry.groups ?? [],
        teams: entry.teams ?? [],
      },
      decided: {
        effect: entry.effect,
        reason: entry.reason,
        detail: entry.detail ?? null,
        grant: entry.grant ?? null,
        owner: entry.owner ?? null,
        nearest: entry.nearest ?? null,
        organizations: entry.organizations ?? [],
        extra_permissions: entry.extra_permissions ?? [],
        guardrails: entry.guardrails?.applied ?? [],
        policy_revision: entry.policy_revision ?? null,
        stage: entry.ended.stage,
        sent: entry.ended.sent,
      },
      steps:
        typeof again === 'string' ? [] : again.explanation.steps.map(({ stage, ok, text }) => ({ stage, ok, text })),
      explained: {
        again: typeof again !== 'string',
        method: typeof again === 'string' ? null : again.explanation.method,
        path: typeof again === 'string' ? null : again.explanation.path,
        policy_revision: policy.revision,
        same: typeof again === 'string' ? null : differences.length === 0,
        differences,
        missing: typeof again === 'string' ? [] : again.missing,
        why_not: typeof again === 'string' ? again : null,
      },
      what_would_allow:
        entry.effect === 'deny' ? `/api/decisions/${encodeURIComponent(entry.decision_id)}/what-would-allow` : null,
      searched,
    }
  }

  return { search, find, detail }
}
