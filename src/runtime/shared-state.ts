// Builds the state that instances share through a store, or keep alone: limits, budgets, cache, idempotency keys.

import { createFileBudgetStore } from '../budgets/file/file-budget-store.ts'
import { createBudgetService } from '../budgets/budget-service.ts'
import { createValkeyBudgetStore } from '../budgets/valkey-budget-store.ts'
import { budgetView, type BudgetView } from '../budgets/budget-status.ts'
import { createResponseCache } from '../cache/response-cache.ts'
import { reportMembership } from '../cache/shared/group-view.ts'
import { createInvalidationBroadcast } from '../cache/shared/invalidation-broadcast.ts'
import { createBudgeting } from '../gateway/budgeting.ts'
import type { OwnCalls } from '../gateway/own-calls/own-calls.ts'
import { createSessionReader } from '../gateway/own-calls/session-reader.ts'
import { createLocalLimiter } from '../limits/local/local-limiter.ts'
import { createSharedLimiter } from '../limits/shared/shared-limiter.ts'
import type { Core } from './core.ts'
import { openIdempotency } from './idempotency.ts'

export async function openSharedState(core: Core, ownCalls: OwnCalls) {
  const { config, instruments, log, monotonic, now, policies } = core
  const store =
    config.store === null
      ? null
      : (await import('../store/client.ts')).createStore({ settings: config.store, now, monotonic })
  const sharedLimiter =
    store === null || config.store === null
      ? null
      : createSharedLimiter({ store, now, monotonic, budgetsWhenAway: config.store.budgetsWhenAway })
  const limiter = sharedLimiter ?? createLocalLimiter({ now, monotonic })
  const budgets = createBudgetService({
    budgetStore:
      store === null
        ? createFileBudgetStore({
            file: config.budgets.journalFile,
            now,
            onTrouble: (text) => log.error({ event: 'budgets' }, text),
            onRecovered: (count) =>
              log.info({ event: 'budgets', count }, 'the journal of budgets is used again; so many uses of it failed'),
          })
        : createValkeyBudgetStore(store),
    sessions: createSessionReader(ownCalls),
    inForce: () => policies.current.budgets,
    now,
    monotonic,
    pollMs: config.budgets.pollMs,
    log,
  })
  const budgeting = createBudgeting({
    budgets,
    now,
    whenUnavailable: config.budgets.whenUnavailable,
    onResult: (result) => instruments.budgetRequest(result),
  })
  const showBudgets = async (): Promise<readonly BudgetView[] | null> => {
    const statuses = await budgeting.statuses([...policies.current.budgets.shared.values()])
    return statuses?.map((budgetStatus) => budgetView(budgetStatus, now())) ?? null
  }
  store?.membership.onChange((state) => reportMembership(log, state))
  const broadcast = store === null ? null : createInvalidationBroadcast({ store, monotonic })
  const upstreamBase = config.upstream.origin + config.upstream.pathPrefix
  const { maxBytes, maxEntryBytes } = config.cache
  const cache = createResponseCache({ now, monotonic, maxBytes, maxEntryBytes, upstreamBase, peers: broadcast })
  const { connectMs, headersMs, bodyIdleMs } = config.upstream.timeouts
  const idempotentCreateMs = connectMs + headersMs + bodyIdleMs
  const { idempotency, entries } = openIdempotency(core, store, idempotentCreateMs)
  return {
    store,
    sharedLimiter,
    limiter,
    budgets,
    budgeting,
    /** The status of budgets that are not of a single caller; null while it is unknown. */
    showBudgets,
    broadcast,
    cache,
    idempotency,
    /** How long the upstream may take for a create with an Idempotency-Key. */
    idempotentCreateMs,
    /** Where idempotency keys are kept. */
    keys: entries,
  }
}

export type SharedState = Awaited<ReturnType<typeof openSharedState>>
