// Builds the blocks of callers and keys: what they cut, how they are recorded, and what operators may do with them.

import type { BlocksApi, BlockView } from '../admin/blocks-api.ts'
import { isoTime } from '../admin/views.ts'
import type { Block, BlockKind } from '../blocks/block.ts'
import { BlocksUnavailable, createBlockService, type Spread } from '../blocks/block-service.ts'
import { didYouMean } from '../config/nearest.ts'
import { refusalOfBlocked } from '../gateway/blocking/refusals.ts'
import type { RequestContext } from '../gateway/context.ts'
import { keyBlocked } from '../blocks/refusals.ts'
import { withoutTeams } from '../policy/model/blocked-teams.ts'
import type { BlockedTeam, PolicySet } from '../policy/model/policy-set.ts'
import type { Problem } from '../problems.ts'
import type { Store } from '../store/store.ts'
import type { Core } from './core.ts'

/** Refuses requests under way. */
type Cut = (problemOf: (context: RequestContext) => Problem | undefined) => void

export function openBlocks(core: Core, store: Store | null) {
  const { config, keyring, log, monotonic, now, policies, sinks, tokens } = core
  let cut: Cut = () => {}
  const service = createBlockService({
    file: config.blocksFile,
    store,
    now,
    monotonic,
    onBlocked(blocks) {
      for (const { kind, value, reason, by, untilMs } of blocks)
        log.warn({ event: 'blocked', kind, value, reason, by, until: isoTime(untilMs) }, 'a block is in force')
      cut((context) => problemOf(context, blocks))
    },
    onOver: ({ kind, value }) => log.info({ event: 'block-over', kind, value }, 'a block has ended by its time'),
    onTrouble: (text, error) => log.error({ event: 'blocks', error }, text),
  })
  const { list } = service
  keyring.blockBy((id) => !list.isEmpty && list.get('key', id) !== null)

  /** Why a request that is under way has to end. */
  function problemOf(context: RequestContext, added: readonly Block[]): Problem | undefined {
    const { keyVersion } = context
    const ofKey = added.find(({ kind, value }) => kind === 'key' && value === keyVersion?.handle.id)
    return ofKey === undefined ? refusalOfBlocked(context, list) : keyBlocked(ofKey.value, ofKey)
  }

  let view: { policy: PolicySet; teams: ReadonlyMap<string, BlockedTeam>; made: PolicySet } | null = null

  /** The policies in force, without the teams that are blocked. */
  function policy(): PolicySet {
    const { current } = policies
    const { teams } = list
    if (teams.size === 0) return current
    if (view?.policy !== current || view.teams !== teams)
      view = { policy: current, teams, made: withoutTeams(current, teams) }
    return view.made
  }

  /** Says that a value matches nothing that is known; null where it does match. */
  function unknownNote(kind: BlockKind, value: string): string | null {
    const { teams, keys } = policies.current
    const names: Partial<Record<BlockKind, readonly string[]>> = {
      team: teams.map(({ id }) => id),
      key: keys.map(({ id }) => id),
      issuer: config.issuers.map(({ issuer }) => issuer),
      app: teams.flatMap(({ members }) => members.flatMap(({ app }) => [...(app ?? [])])),
    }
    const isNamed = names[kind]?.includes(value) === true
    const wasSeen = tokens.hasSeen((principal) => {
      const { subject, actor, priorActors, app, claims } = principal
      if (kind === 'subject') return [subject, actor, ...priorActors].includes(value)
      return kind === 'app' ? app === value : kind === 'jti' && claims['jti'] === value
    })
    if (isNamed || wasSeen) return null
    const near = didYouMean(value, names[kind] ?? [])
    return kind === 'team' || kind === 'key' || kind === 'issuer'
      ? `there is no ${kind} "${value}" here${near}`
      : `this instance knows no token of the ${kind} "${value}"${near}`
  }

  const api: BlocksApi = {
    list: () => list.all.map(viewOf),
    async block(wanted) {
      const { block, replaced, ...spread } = await service.block(wanted)
      const { kind, value, reason, note, by, untilMs } = block
      // Not awaited before: a full disk must not keep a caller in.
      const audited = sinks.audit('blocked', by, { kind, value, reason, note, until: isoTime(untilMs), ...spread })
      const notes = [
        unknownNote(kind, value),
        replaced === null ? null : `it replaces a block of ${isoTime(replaced.sinceMs) ?? ''}: ${replaced.reason}`,
        ...spreadNotes(spread, config.blocksFile),
        (await audited) ? null : 'the audit log cannot be written; the entry is queued',
      ]
      return { ...viewOf(block), ...spread, notes: notes.filter((text) => text !== null) }
    },
    async unblock({ kind, value }, by) {
      try {
        const block = await service.find(kind, value)
        if (block === null) {
          const near = didYouMean(
            value,
            list.all.filter((each) => each.kind === kind).map((each) => each.value),
          )
          return {
            status: 404,
            error: `the ${kind} "${value}" is not blocked${near === '' ? '.' : near} "blocks" lists what is`,
          }
        }
        const { reason, untilMs } = block
        if (!(await sinks.audit('unblocked', by, { kind, value, reason, until: isoTime(untilMs) })))
          return {
            status: 503,
            error: 'the audit log cannot be written, and a block that is not recorded is not ended',
          }
        const spread = await service.unblock(kind, value)
        log.warn({ event: 'unblocked', kind, value, by }, 'a block was ended')
        return { ...viewOf(block), ...spread, notes: spreadNotes(spread, config.blocksFile) }
      } catch (error) {
        if (!(error instanceof BlocksUnavailable)) throw error
        return {
          status: 503,
          error: 'the shared store is away: a block can be made without it, and ended only when it is back',
        }
      }
    },
  }

  return {
    list,
    whenRecent: service.whenRecent,
    policy,
    api,
    /** From now on requests under way are cut. */
    cutBy: (given: Cut): void => void (cut = given),
    start: service.start,
    close: service.close,
    /** For `/readyz`; null when all is well. */
    get note(): string | null {
      if (!service.isKnown)
        return 'the blocked callers are not known: the shared store has not been reached since the start, and there is no copy; block callers here, or start again when the store is back'
      return store?.away === true
        ? 'blocks that other instances make are not known here until the shared store is back; those known stay in force'
        : null
    },
  }
}

export type BlocksInForce = ReturnType<typeof openBlocks>

function viewOf({ kind, value, reason, note, by, sinceMs, untilMs }: Block): BlockView {
  return { kind, value, reason, note, by, since: isoTime(sinceMs) ?? '', until: isoTime(untilMs) }
}

function spreadNotes({ instances, unconfirmed, everywhere, kept }: Spread, file: string): string[] {
  return [
    ...(everywhere ? [] : ['the shared store is away: the other instances are told when it is back']),
    ...(unconfirmed === 0
      ? []
      : [
          `${unconfirmed} of ${instances} instances did not confirm within a second: they have ended, hang, or are cut off from the store, and apply it before they serve again with the store`,
        ]),
    ...(kept ? [] : [`it could not be written to ${file}: a restart may forget it`]),
  ]
}
