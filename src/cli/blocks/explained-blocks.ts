// What the running gateway of a configuration blocks, as far as an explanation is concerned.

import type { BlockView } from '../../admin/blocks-api.ts'
import { readBlock, slotOf, type Block } from '../../blocks/block.ts'
import { BlockList } from '../../blocks/block-list.ts'
import { callerBlocked, keyBlocked } from '../../blocks/refusals.ts'
import type { Config } from '../../config/load.ts'
import type { Principal } from '../../identity/principal.ts'
import { withoutTeams } from '../../policy/model/blocked-teams.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { withRefusal, withUnusableKey, type Explanation } from '../../policy/tools/explanation.ts'
import { operatorsOf, OperatorsRefused, type OperatorsAsker } from '../operators.ts'

/** What was found out; `list` is null where nobody could be asked, and `unasked` then says so. */
export interface AskedBlocks {
  readonly list: BlockList | null
  readonly unasked: string | null
}

const withinMs = 2_000

/** Asks the operators' listener of this configuration. Rejects only for a token that cannot be read: an explanation without it is still right about the policies. */
export async function askBlocks(config: Config, asker: OperatorsAsker): Promise<AskedBlocks> {
  const { address, ask } = operatorsOf(config, asker)
  const nobody = (why: string): AskedBlocks => ({ list: null, unasked: `blocks were not asked: ${why}` })
  const signal = AbortSignal.timeout(withinMs)
  const response = await ask('/api/blocks', { signal }).catch((error: unknown) => {
    if (error instanceof OperatorsRefused) return error
    throw error
  })
  if (response === null) return nobody(`no gateway answers at ${address}`)
  if (response instanceof OperatorsRefused) return nobody(response.message)
  const found: unknown = response.ok ? await response.json().catch(() => null) : null
  const blocks = Array.isArray(found) ? found.map(blockOf) : [null]
  if (blocks.includes(null)) return nobody(`what answers at ${address} does not list any (status ${response.status})`)
  // Those that the gateway lists are in force, whatever the clock says here.
  const list = new BlockList(() => -Infinity)
  list.replace(new Map(blocks.flatMap((block) => (block === null ? [] : [[slotOf(block.kind, block.value), block]]))))
  return { list, unasked: null }
}

function blockOf(view: Partial<BlockView> | null): Block | null {
  const { since = '', until = null } = view ?? {}
  return readBlock({ ...view, since: Date.parse(since), until: until === null ? null : Date.parse(until) })
}

/** The set in which the grants of blocked teams do not count. */
export function withoutBlocked(policy: PolicySet, { list }: AskedBlocks): PolicySet {
  return list === null || list.teams.size === 0 ? policy : withoutTeams(policy, list.teams)
}

/** The explanation of a request whose caller or key may be blocked. */
export function withBlocks(
  found: Explanation,
  policy: PolicySet,
  principal: Principal,
  { list }: AskedBlocks,
): Explanation {
  const request = { method: found.method, target: found.path }
  const block = list?.find(principal) ?? null
  if (block !== null) return withRefusal(found, policy, request, callerBlocked(block), 'caller')
  const ofKey = found.effect === 'deny' || found.key === null ? null : (list?.get('key', found.key) ?? null)
  return ofKey === null ? found : withUnusableKey(found, keyBlocked(ofKey.value, ofKey))
}
