// Every metric of the gateway: name, help and labels, in the order in which `/metrics` prints them. The
// process's own (`process_…`, `nodejs_…`) are the library's.

/** Name, help and labels of one metric. */
export interface MetricDefinition {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
}

export const metricList = {
  requests: {
    name: 'gateway_requests_total',
    help: 'Requests that ended, by operation, team, how they ended and class of the status that was sent.',
    labelNames: ['operation', 'team', 'outcome', 'status_class'],
  },
  requestSeconds: {
    name: 'gateway_request_seconds',
    help: 'From the first byte of a request to the end of its answer.',
    labelNames: ['operation'],
  },
  upstreamSeconds: {
    name: 'gateway_upstream_seconds',
    help: 'From asking the upstream to the end of its answer.',
    labelNames: ['operation'],
  },
  inFlight: {
    name: 'gateway_in_flight',
    help: 'Requests that have begun and not ended.',
    labelNames: [],
  },
  decisions: {
    name: 'gateway_decisions_total',
    help: 'Decisions by effect and reason.',
    labelNames: ['effect', 'reason'],
  },
  problems: {
    name: 'gateway_problems_total',
    help: 'Problem documents that the gateway itself answered, by kind.',
    labelNames: ['kind'],
  },
  connections: {
    name: 'gateway_connections',
    help: 'Connections of callers that are open.',
    labelNames: [],
  },
  connectionsRefused: {
    name: 'gateway_connections_refused_total',
    help: 'Connections of callers that were refused because there were too many, by reason.',
    labelNames: ['reason'],
  },
  connectionsCut: {
    name: 'gateway_connections_cut_total',
    help: 'Connections of callers that were closed because nothing useful came in time, by cause.',
    labelNames: ['cause'],
  },
  certificateExpires: {
    name: 'gateway_certificate_expires_timestamp_seconds',
    help: 'When the certificate of a listener ends, in seconds since the epoch; absent without one.',
    labelNames: ['listener'],
  },
  certificateReloads: {
    name: 'gateway_certificate_reloads_total',
    help: 'Times the certificate was read again, by result: read, or the one before was kept.',
    labelNames: ['result'],
  },
  overloadLevel: {
    name: 'gateway_overload_level',
    help: 'How much the event loop lags, 0 in calm to 3: from 1 teams that make more than their share of the load are refused, from 2 low priority, at 3 all.',
    labelNames: [],
  },
  overloadRefused: {
    name: 'gateway_overload_refused_total',
    help: 'Requests that were refused because the event loop lagged, by priority of their team.',
    labelNames: ['priority'],
  },
  tokens: {
    name: 'gateway_tokens_verified_total',
    help: 'Tokens of callers: known from before, verified, or rejected.',
    labelNames: ['result'],
  },
  jwksKeys: {
    name: 'gateway_jwks_keys',
    help: 'Signing keys in use for an issuer; 0 while none could be fetched.',
    labelNames: ['issuer'],
  },
  jwksAge: {
    name: 'gateway_jwks_age_seconds',
    help: 'Since the signing keys of an issuer were last fetched; none before they were.',
    labelNames: ['issuer'],
  },
  jwksFetches: {
    name: 'gateway_jwks_fetches_total',
    help: 'Attempts to fetch the signing keys of an issuer, by result.',
    labelNames: ['issuer', 'result'],
  },
  jwksFailing: {
    name: 'gateway_jwks_failing',
    help: '1 while the latest attempt to fetch the signing keys of an issuer failed.',
    labelNames: ['issuer'],
  },
  clockSkew: {
    name: 'gateway_clock_skew_seconds',
    help: 'How far the clock of a peer (an issuer, or `upstream`) is ahead, by the Date of its latest answer, to about a second.',
    labelNames: ['peer'],
  },
  policyRevision: {
    name: 'gateway_policy_revision_info',
    help: 'Always 1; the label is the revision of the policies in use.',
    labelNames: ['revision'],
  },
  policyLoadedAt: {
    name: 'gateway_policy_loaded_timestamp_seconds',
    help: 'When the policies in use were loaded, in seconds since the epoch.',
    labelNames: [],
  },
  policyRefused: {
    name: 'gateway_policy_refused',
    help: '1 while the policy files hold a set that is not in force: refused, or held until a reload on demand.',
    labelNames: [],
  },
  policyReloads: {
    name: 'gateway_policy_reloads_total',
    help: 'Attempts to load the policies again, by result.',
    labelNames: ['result'],
  },
  keyRejections: {
    name: 'gateway_key_rejections_total',
    help: 'Times the upstream rejected a key, by key.',
    labelNames: ['key'],
  },
  keyState: {
    name: 'gateway_key_state',
    help: '1 for the state a key is in, 0 for its other states.',
    labelNames: ['key', 'state'],
  },
  keyExpires: {
    name: 'gateway_key_expires_timestamp_seconds',
    help: 'When a key ends by the inventory, in seconds since the epoch; absent where the inventory does not say.',
    labelNames: ['key'],
  },
  leaksMasked: {
    name: 'gateway_leaks_masked_total',
    help: 'Key values that were found in answers of the upstream and masked.',
    labelNames: [],
  },
  recordsLost: {
    name: 'gateway_records_lost_total',
    help: 'Entries of records that were lost, by stream.',
    labelNames: ['stream'],
  },
  draining: {
    name: 'gateway_draining',
    help: '1 while the instance shuts down and takes no new requests.',
    labelNames: [],
  },
  cacheAnswers: {
    name: 'gateway_cache_total',
    help: 'Requests to the cache, by operation and result, and entries that were evicted.',
    labelNames: ['operation', 'result'],
  },
  cacheBytes: {
    name: 'gateway_cache_bytes',
    help: 'Memory that stored answers, their keys and fields take, by operation.',
    labelNames: ['operation'],
  },
  cacheEntries: {
    name: 'gateway_cache_entries',
    help: 'Answers in the cache.',
    labelNames: [],
  },
  cacheStanding: {
    name: 'gateway_cache_standing',
    help: '1 for the state of the cache among those of the other instances, 0 for its other states; none without a shared store.',
    labelNames: ['standing'],
  },
  cacheMissing: {
    name: 'gateway_cache_missing_instances',
    help: 'Instances that were not heard of any more within ten minutes and may be cut off.',
    labelNames: [],
  },
  cacheLapses: {
    name: 'gateway_cache_lapses_total',
    help: 'Times the cache lost contact with those of the other instances and dropped everything.',
    labelNames: [],
  },
  cacheTold: {
    name: 'gateway_cache_told_total',
    help: 'Writes and purges that were broadcast to the other instances: answered by all, silent where one did not answer, or unreached.',
    labelNames: ['result'],
  },
  storeAway: {
    name: 'gateway_store_away',
    help: '1 while the shared store is away; 0 while it is there, and without one.',
    labelNames: [],
  },
  storeInstances: {
    name: 'gateway_store_instances',
    help: 'Gateways that were last seen sharing the store, this one included; 1 without one.',
    labelNames: [],
  },
  storeCalls: {
    name: 'gateway_store_calls_total',
    help: 'Calls to the shared store: answered, failed, or not tried (spared) because it was away.',
    labelNames: ['result'],
  },
  upstreamThrottled: {
    name: 'gateway_upstream_throttled_total',
    help: 'Answers 429 of the upstream, by key.',
    labelNames: ['key'],
  },
  held: {
    name: 'gateway_held_total',
    help: 'Requests that were held in the queue before the upstream, by team and what became of them.',
    labelNames: ['team', 'result'],
  },
  shareReached: {
    name: 'gateway_share_reached_total',
    help: 'Requests that had to wait, or were refused, because their team held its share of the connections to the upstream or of the queue.',
    labelNames: ['team', 'of'],
  },
  breaker: {
    name: 'gateway_upstream_breaker_total',
    help: 'An upstream that does not answer, by key: left alone (opened), tried (probe), back (closed), and requests that were not sent (refused).',
    labelNames: ['key', 'event'],
  },
  waiting: {
    name: 'gateway_waiting',
    help: 'Requests in the queue before the upstream.',
    labelNames: [],
  },
  idempotency: {
    name: 'gateway_idempotency_total',
    help: 'Requests with an Idempotency-Key, by what became of the key.',
    labelNames: ['event'],
  },
  idempotencyBytes: {
    name: 'gateway_idempotency_bytes',
    help: 'Memory of this instance that idempotency keys and their answers take; 0 with a shared store.',
    labelNames: [],
  },
  budgetLimit: {
    name: 'gateway_budget_limit',
    help: 'Hard bound of a budget, in ACUs or sessions.',
    labelNames: ['owner', 'budget'],
  },
  budgetSpent: {
    name: 'gateway_budget_spent',
    help: 'Spent of a budget in its present window, in ACUs or sessions.',
    labelNames: ['owner', 'budget'],
  },
  budgetReserved: {
    name: 'gateway_budget_reserved',
    help: 'Reserved of a budget for what sessions under way may still cost, in ACUs or sessions.',
    labelNames: ['owner', 'budget'],
  },
  budgetLevel: {
    name: 'gateway_budget_level_percent',
    help: 'The highest of 50, 80 and 100 percent of its hard bound that a budget has reached; 0 below.',
    labelNames: ['owner', 'budget'],
  },
  budgetRequests: {
    name: 'gateway_budget_requests_total',
    help: 'Requests that needed a budget: reserved, refused, refused because nothing bounds the session, or made while budgets could not be read.',
    labelNames: ['result'],
  },
} as const satisfies Record<string, MetricDefinition>
