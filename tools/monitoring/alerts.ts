// The alerts: what each fires on, why at that threshold, whose turn it is, and what to do. Rules, their tests and the runbooks are
// written from here.

export interface Alert {
  readonly name: string
  readonly expr: string
  /** How long it has to hold. */
  readonly for: string
  /** `critical`: callers are refused or records are lost now. `warning`: that will happen, or somebody should look. */
  readonly severity: 'critical' | 'warning'
  /** One sentence; `{{ $labels.x }}` is a label of the alert. */
  readonly summary: string
  readonly meaning: string
  readonly threshold: string
  readonly turn: string
  readonly steps: readonly string[]
  /** A case in which it fires at `at`, with the labels it then has; in `calm` it does not. */
  readonly test: {
    readonly at: string
    readonly fires: Readonly<Record<string, string>>
    readonly calm: Readonly<Record<string, string>>
    readonly labels: Readonly<Record<string, string>>
  }
}

const gateway = { instance: 'a', job: 'devin-gateway' }
const own = '{instance="a",job="devin-gateway"}'
const of = (labels: string): string => `{instance="a",job="devin-gateway",${labels}}`
const days14 = 14 * 86_400

export const alerts: readonly Alert[] = [
  {
    name: 'GatewayDown',
    expr: 'up{job=~"devin-gateway.*"} == 0',
    for: '2m',
    severity: 'critical',
    summary: 'The gateway {{ $labels.instance }} does not answer scrapes.',
    meaning: 'Prometheus cannot read `/metrics` of the instance: the process is gone or hangs, or the network is cut.',
    threshold: 'Two minutes are longer than a restart takes.',
    turn: 'The on-call engineer of the platform.',
    steps: [
      'Ask the instance: `curl http://127.0.0.1:9090/livez`. Where that answers, look for what keeps Prometheus away.',
      'Read the end of the process log. A start that fails names file and line of each mistake.',
      'Run `devin-gateway doctor` with the same configuration, user and environment: it says what is wrong and what to do.',
      'Restart it. If it has stopped by itself, keep the log for a report.',
    ],
    test: { at: '5m', fires: { [`up${own}`]: '0x10' }, calm: { [`up${own}`]: '1x10' }, labels: gateway },
  },
  {
    name: 'GatewayFailures',
    expr: 'sum by (job) (rate(gateway_requests_total{outcome="failed"}[5m])) / sum by (job) (rate(gateway_requests_total[5m])) > 0.05',
    for: '5m',
    severity: 'critical',
    summary: 'More than 5 % of the requests fail.',
    meaning: 'Requests end with a status of 500 or more, or are broken off. Refusals are not among them.',
    threshold: 'Single failures of Devin stay below 5 %. An outage of a key, an issuer or Devin is above it at once.',
    turn: 'The on-call engineer of the platform, until the kind of problem says whose it is.',
    steps: [
      'See which problem it is: `sum by (kind) (rate(gateway_problems_total[5m]))`.',
      '`upstream-…`: go on with UpstreamFailures. `key-unavailable`: with KeyUnusable. `identity-provider-unavailable`: with IssuerUnreachable. `overloaded`: with GatewayOverloaded.',
      'Take a `decision_id` of a failed request from the access records and read its decision record.',
    ],
    test: {
      at: '15m',
      fires: {
        [`gateway_requests_total${of('outcome="failed"')}`]: '0+6x20',
        [`gateway_requests_total${of('outcome="forwarded"')}`]: '0+54x20',
      },
      calm: {
        [`gateway_requests_total${of('outcome="failed"')}`]: '0+1x20',
        [`gateway_requests_total${of('outcome="forwarded"')}`]: '0+59x20',
      },
      labels: { job: 'devin-gateway' },
    },
  },
  {
    name: 'UpstreamFailures',
    expr: 'sum by (job, kind) (increase(gateway_problems_total{kind=~"upstream-unreachable|upstream-timeout|upstream-tls-failed"}[5m])) > 10',
    for: '2m',
    severity: 'critical',
    summary: 'Devin cannot be used: {{ $labels.kind }}.',
    meaning: 'Devin cannot be reached, does not answer in time, or shows a certificate that is not trusted.',
    threshold: 'More than ten in five minutes: a single closed connection is no outage.',
    turn: 'The network team for `upstream-unreachable` and `upstream-tls-failed`; Devin for `upstream-timeout`.',
    steps: [
      'From the host of the gateway: `curl -sv https://<upstream.origin>/v3/self`. A 401 means that Devin is there.',
      'Look at the status page of Devin, then at proxies, DNS and firewalls on the way.',
      '`upstream-tls-failed`: compare the issuer of the certificate with `upstream.ca`.',
      'Reads are answered from the cache meanwhile, where stale answers are allowed. Writes are not repeated.',
    ],
    test: {
      at: '10m',
      fires: { [`gateway_problems_total${of('kind="upstream-unreachable"')}`]: '0+10x20' },
      calm: { [`gateway_problems_total${of('kind="upstream-unreachable"')}`]: '0+1x20' },
      labels: { job: 'devin-gateway', kind: 'upstream-unreachable' },
    },
  },
  {
    name: 'UpstreamSlow',
    expr: 'histogram_quantile(0.95, sum by (job, le) (rate(gateway_upstream_seconds_bucket[10m]))) > 10',
    for: '10m',
    severity: 'warning',
    summary: 'Five percent of the calls to Devin take longer than 10 seconds.',
    meaning: 'Devin is slow. Requests wait in the queue, and connections are used up.',
    threshold: 'Ten seconds are a sixth of the usual time-out (`upstream.timeouts.headers`): there is time to act.',
    turn: 'Devin. The platform watches the queue (`gateway_waiting`).',
    steps: [
      'See which operations it is: the same quantile by `operation`.',
      'Compare `gateway_request_seconds` with `gateway_upstream_seconds`: what is between them is waiting here.',
      'Tell Devin, with `upstream_request_id` of slow requests from the access records.',
    ],
    test: {
      at: '30m',
      fires: {
        [`gateway_upstream_seconds_bucket${of('le="10"')}`]: '0+1x40',
        [`gateway_upstream_seconds_bucket${of('le="30"')}`]: '0+60x40',
        [`gateway_upstream_seconds_bucket${of('le="+Inf"')}`]: '0+60x40',
      },
      calm: {
        [`gateway_upstream_seconds_bucket${of('le="10"')}`]: '0+60x40',
        [`gateway_upstream_seconds_bucket${of('le="+Inf"')}`]: '0+60x40',
      },
      labels: { job: 'devin-gateway' },
    },
  },
  {
    name: 'UpstreamThrottled',
    expr: 'sum by (job, key) (increase(gateway_upstream_throttled_total[10m])) > 20',
    for: '5m',
    severity: 'warning',
    summary: 'Devin throttles the key {{ $labels.key }}.',
    meaning: 'Devin answers 429 to this key. The gateway pauses it as long as Devin asks.',
    threshold: 'Twenty in ten minutes: more than bursts make.',
    turn: 'The team that uses the key most.',
    steps: [
      'See who: the access records with this `key`, by `team` and `app`.',
      'Lower `limits` of that team below what Devin allows, or spread its work.',
      'Ask Devin for a higher limit where the use is meant.',
    ],
    test: {
      at: '20m',
      fires: { [`gateway_upstream_throttled_total${of('key="runner"')}`]: '0+5x30' },
      calm: { [`gateway_upstream_throttled_total${of('key="runner"')}`]: '0+1x30' },
      labels: { job: 'devin-gateway', key: 'runner' },
    },
  },
  {
    name: 'GatewayOverloaded',
    expr: 'gateway_overload_level >= 2',
    for: '2m',
    severity: 'critical',
    summary: 'The gateway {{ $labels.instance }} refuses requests because its event loop lags.',
    meaning: 'One process does not keep up. At level 2 requests of low priority are refused, at 3 all.',
    threshold: 'Level 1 refuses only teams beyond their share. From level 2 on, others suffer.',
    turn: 'The on-call engineer of the platform.',
    steps: [
      'See who makes the load: `topk(5, sum by (team) (rate(gateway_requests_total[5m])))`.',
      'Limit that team, or block the caller (`devin-gateway block`).',
      'Add instances or workers; look at the CPU limit of the container.',
    ],
    test: {
      at: '5m',
      fires: { [`gateway_overload_level${own}`]: '2x10' },
      calm: { [`gateway_overload_level${own}`]: '1x10' },
      labels: gateway,
    },
  },
  {
    name: 'ConnectionsRefused',
    expr: 'sum by (job, reason) (increase(gateway_connections_refused_total[5m])) > 0',
    for: '5m',
    severity: 'warning',
    summary: 'Connections of callers are refused: {{ $labels.reason }}.',
    meaning: 'More connections are open than `listen.max_connections` or `listen.max_connections_per_address` allows.',
    threshold: 'Five minutes in which some are refused: a leak of connections, not a burst.',
    turn: 'The platform, with the team that holds the connections.',
    steps: [
      'See `gateway_connections`, and who is connected: `ss -tn sport = :8080`.',
      'A client that opens a connection for each request should keep them.',
      'Raise the bound if the connections are meant, and the limit of open files with it.',
    ],
    test: {
      at: '15m',
      fires: { [`gateway_connections_refused_total${of('reason="too-many"')}`]: '0+1x20' },
      calm: { [`gateway_connections_refused_total${of('reason="too-many"')}`]: '7x20' },
      labels: { job: 'devin-gateway', reason: 'too-many' },
    },
  },
  {
    name: 'AnonymousFlood',
    expr: 'sum by (job, bound) (increase(gateway_anonymous_refused_total[5m])) > 0',
    for: '5m',
    severity: 'warning',
    summary: 'Requests without a valid token are refused unread: bound of {{ $labels.bound }}.',
    meaning:
      'More requests without a valid token come than `listen.max_anonymous` or `listen.max_anonymous_per_address` allows: a program with a wrong token that repeats without end, or an attack. Callers who are known are served.',
    threshold: 'Five minutes in which some are refused: the bounds hold a minute of such requests.',
    turn: 'The on-call engineer of the platform.',
    steps: [
      'Read `anonymous-refused` in the process log: it names a client address.',
      'See what they are: access records with `problem` `token-rejected`, `token-expired` or `token-missing` of these minutes. `token_seen` in the decision records says whose token it claims to be.',
      'A program of your own: have its owner repair the token, and repeat with pauses. Anybody else: keep the address away in front of the gateway.',
      'Where the address is a balancer, name it in `listen.trusted_proxies`, so that its clients are told apart.',
      'Raise the bound only if such requests are meant.',
    ],
    test: {
      at: '15m',
      fires: { [`gateway_anonymous_refused_total${of('bound="address"')}`]: '0+5x20' },
      calm: { [`gateway_anonymous_refused_total${of('bound="address"')}`]: '7x20' },
      labels: { job: 'devin-gateway', bound: 'address' },
    },
  },
  {
    name: 'IssuerUnreachable',
    expr: 'gateway_jwks_failing == 1',
    for: '5m',
    severity: 'warning',
    summary: 'The signing keys of {{ $labels.issuer }} cannot be fetched.',
    meaning: 'Tokens are verified with the keys that are known. A new key of the issuer would not be found.',
    threshold: 'Five minutes: fetches are repeated, and a single failure means nothing.',
    turn: 'The team of the identity provider.',
    steps: [
      'From the host of the gateway: `curl -sv <jwks_uri>`.',
      'Read the event of the issuer in the process log: it says what failed.',
      'See `gateway_jwks_age_seconds` for how old the known keys are.',
    ],
    test: {
      at: '10m',
      fires: { [`gateway_jwks_failing${of('issuer="https://sso.corp.example"')}`]: '1x15' },
      calm: { [`gateway_jwks_failing${of('issuer="https://sso.corp.example"')}`]: '1 0 1 0 1 0 1 0 1 0 0' },
      labels: { ...gateway, issuer: 'https://sso.corp.example' },
    },
  },
  {
    name: 'IssuerWithoutKeys',
    expr: 'gateway_jwks_keys == 0',
    for: '2m',
    severity: 'critical',
    summary: 'No token of {{ $labels.issuer }} can be verified.',
    meaning: 'No signing key of the issuer is known: every caller of it gets 503 `identity-provider-unavailable`.',
    threshold: 'Two minutes are longer than a start needs to fetch them.',
    turn: 'The team of the identity provider.',
    steps: [
      'Do what IssuerUnreachable says.',
      'Compare `issuer`, `jwks_uri` and `algorithms` of the configuration with the metadata document of the issuer.',
    ],
    test: {
      at: '5m',
      fires: { [`gateway_jwks_keys${of('issuer="https://sso.corp.example"')}`]: '0x10' },
      calm: { [`gateway_jwks_keys${of('issuer="https://sso.corp.example"')}`]: '2x10' },
      labels: { ...gateway, issuer: 'https://sso.corp.example' },
    },
  },
  {
    name: 'ClockSkew',
    expr: 'abs(gateway_clock_skew_seconds) > 20',
    for: '10m',
    severity: 'warning',
    summary: 'The clocks of {{ $labels.instance }} and {{ $labels.peer }} differ by more than 20 seconds.',
    meaning: 'Tokens seem to come from the future, or to have ended, when the difference exceeds `clock_tolerance`.',
    threshold: 'The usual tolerance is 30 seconds.',
    turn: 'The platform: it is its clock, unless all instances differ from one peer alone.',
    steps: [
      'Look at the time service of the host: `timedatectl`, `chronyc tracking`.',
      'Compare with a second peer in `gateway_clock_skew_seconds`.',
    ],
    test: {
      at: '15m',
      fires: { [`gateway_clock_skew_seconds${of('peer="upstream"')}`]: '-25x20' },
      calm: { [`gateway_clock_skew_seconds${of('peer="upstream"')}`]: '2x20' },
      labels: { ...gateway, peer: 'upstream' },
    },
  },
  {
    name: 'KeyUnusable',
    expr: 'gateway_key_state{state=~"rejected|set-aside|unresolved|expired|quarantined"} == 1',
    for: '2m',
    severity: 'critical',
    summary: 'The key {{ $labels.key }} is {{ $labels.state }}.',
    meaning: 'Calls that need this key are refused or will be. No stronger key takes its place.',
    threshold: 'Two minutes: a rejected key is read again at once, and a rotated one is back by then.',
    turn: 'The key officers.',
    steps: [
      '`devin-gateway keys` shows state and reason of every key.',
      '`rejected`, `set-aside`: Devin does not take the value. Put the new value into its source, or `devin-gateway rotate` the key.',
      '`unresolved`: its source cannot be read. `expired`: `expires` of the inventory has passed.',
      '`quarantined`: Devin says that it is another key than the inventory declares. Treat that as a mistake in the vault until it is known to be none.',
    ],
    test: {
      at: '5m',
      fires: { [`gateway_key_state${of('key="runner",state="rejected"')}`]: '1x10' },
      calm: { [`gateway_key_state${of('key="runner",state="ready"')}`]: '1x10' },
      labels: { ...gateway, key: 'runner', state: 'rejected' },
    },
  },
  {
    name: 'KeyEndsSoon',
    expr: `min by (job, key) ({__name__=~"gateway_key_expires_timestamp_seconds|gateway_key_upstream_end_timestamp_seconds"}) - time() < ${days14}`,
    for: '1h',
    severity: 'warning',
    summary: 'The key {{ $labels.key }} ends within 14 days.',
    meaning: 'By the inventory (`expires`) or by what Devin says of it, whichever is earlier, the key ends soon.',
    threshold: 'Fourteen days leave time for an approval.',
    turn: 'The key officers.',
    steps: [
      '`devin-gateway rotate KEY --dry-run`, then without it.',
      'Change `expires` in `policies/keys.yaml` with the new value.',
    ],
    test: {
      at: '2h',
      fires: { [`gateway_key_expires_timestamp_seconds${of('key="runner"')}`]: '864000x130' },
      calm: { [`gateway_key_expires_timestamp_seconds${of('key="runner"')}`]: '8640000x130' },
      labels: { job: 'devin-gateway', key: 'runner' },
    },
  },
  {
    name: 'KeySourceFailing',
    expr: 'gateway_key_source_failing == 1',
    for: '15m',
    severity: 'warning',
    summary: 'The source of the key {{ $labels.key }} cannot be read.',
    meaning: 'The value that is known stays in use. A new value would not be seen, and a restart would have none.',
    threshold: 'Fifteen minutes: a vault that restarts is no reason to wake anybody.',
    turn: 'The team of the vault.',
    steps: [
      '`source_error` in `/api/keys` says what failed.',
      'Do not restart the gateway before the source can be read.',
    ],
    test: {
      at: '20m',
      fires: { [`gateway_key_source_failing${of('key="runner"')}`]: '1x30' },
      calm: { [`gateway_key_source_failing${of('key="runner"')}`]: '0x30' },
      labels: { ...gateway, key: 'runner' },
    },
  },
  {
    name: 'KeyRotationFailing',
    expr: 'gateway_key_rotation_failing == 1',
    for: '15m',
    severity: 'warning',
    summary: 'The rotation of the key {{ $labels.key }} has stopped or is overdue.',
    meaning: 'The old key stays in use. No request fails for it.',
    threshold: 'Fifteen minutes: rotations that are cut off are resumed by themselves before.',
    turn: 'The key officers.',
    steps: [
      '`GET /api/rotations` says why it has stopped.',
      '`devin-gateway rotate KEY --resume`, or `--undo` while the old key is not being revoked.',
    ],
    test: {
      at: '20m',
      fires: { [`gateway_key_rotation_failing${of('key="runner"')}`]: '1x30' },
      calm: { [`gateway_key_rotation_failing${of('key="runner"')}`]: '0x30' },
      labels: { ...gateway, key: 'runner' },
    },
  },
  {
    name: 'KeyUsedElsewhere',
    expr: 'sum by (job, key) (increase(gateway_key_foreign_uses_total[15m])) > 0',
    for: '0m',
    severity: 'critical',
    summary: 'The key {{ $labels.key }} was used past the gateway.',
    meaning: 'The audit log of Devin has uses of this watched key that no gateway made: it may have leaked.',
    threshold: 'One use is enough.',
    turn: 'The security team, with the key officers.',
    steps: [
      'Find the use in the audit log of Devin: who, from where, what.',
      '`devin-gateway block key KEY --reason …` if it must stop now.',
      '`devin-gateway rotate KEY`.',
    ],
    test: {
      at: '10m',
      fires: { [`gateway_key_foreign_uses_total${of('key="runner"')}`]: '0 0 0 1x20' },
      calm: { [`gateway_key_foreign_uses_total${of('key="runner"')}`]: '3x20' },
      labels: { job: 'devin-gateway', key: 'runner' },
    },
  },
  {
    name: 'KeyValueInAnswer',
    expr: 'sum by (job) (increase(gateway_leaks_masked_total[15m])) > 0',
    for: '0m',
    severity: 'critical',
    summary: 'An answer of Devin held the value of a key; it was masked.',
    meaning:
      'Somebody has written a key into something that Devin shows. Callers of the gateway did not see it; others may.',
    threshold: 'One is enough.',
    turn: 'The security team.',
    steps: ['The process log names operation and decision.', 'Find the object, remove the value, and rotate the key.'],
    test: {
      at: '10m',
      fires: { [`gateway_leaks_masked_total${own}`]: '0 0 1x20' },
      calm: { [`gateway_leaks_masked_total${own}`]: '1x20' },
      labels: { job: 'devin-gateway' },
    },
  },
  {
    name: 'CertificateEndsSoon',
    expr: `gateway_certificate_expires_timestamp_seconds - time() < ${days14}`,
    for: '1h',
    severity: 'warning',
    summary: 'The certificate of {{ $labels.instance }} ends within 14 days.',
    meaning: 'After its end no caller can connect.',
    threshold: 'Renewals by machine happen 30 days before the end: at 14 one has failed.',
    turn: 'The platform.',
    steps: [
      'Renew the files of `listen.tls`. They are read again by themselves.',
      '`gateway_certificate_reloads_total{result="kept"}`: the new files were refused; the log says why.',
    ],
    test: {
      at: '2h',
      fires: { [`gateway_certificate_expires_timestamp_seconds${of('listener="gateway"')}`]: '864000x130' },
      calm: { [`gateway_certificate_expires_timestamp_seconds${of('listener="gateway"')}`]: '8640000x130' },
      labels: { ...gateway, listener: 'gateway' },
    },
  },
  {
    name: 'PoliciesRefused',
    expr: 'gateway_policy_refused == 1',
    for: '10m',
    severity: 'warning',
    summary: 'The policy files of {{ $labels.instance }} are not in force.',
    meaning:
      'The files hold a set that was refused, or is held until a reload on demand. The one before stays in force.',
    threshold: 'Ten minutes: a change that is being written is soon whole.',
    turn: 'The owner of the latest change.',
    steps: [
      '`devin-gateway check` names each mistake with file and line.',
      '`held`: a bound was removed. If that is meant, reload on demand: SIGHUP or `POST /api/reload`.',
    ],
    test: {
      at: '15m',
      fires: { [`gateway_policy_refused${own}`]: '1x20' },
      calm: { [`gateway_policy_refused${own}`]: '0x20' },
      labels: gateway,
    },
  },
  {
    name: 'RecordsLost',
    expr: 'sum by (job, instance, stream) (increase(gateway_records_lost_total[5m])) > 0',
    for: '0m',
    severity: 'critical',
    summary: 'Records are lost: {{ $labels.stream }} of {{ $labels.instance }}.',
    meaning: 'A target of records does not take lines, and the memory for those that wait is used up.',
    threshold: 'One is enough: records are evidence.',
    turn: 'The on-call engineer of the platform.',
    steps: [
      '`df` and `ls -l` of the folders under `records`: a full disk, or rights that have changed.',
      'The process log says which target and why (event `records`).',
      'The first decision after a gap says how many are missing (`lost_before`).',
    ],
    test: {
      at: '5m',
      fires: { [`gateway_records_lost_total${of('stream="decisions"')}`]: '0 0 4x20' },
      calm: { [`gateway_records_lost_total${of('stream="decisions"')}`]: '4x20' },
      labels: { ...gateway, stream: 'decisions' },
    },
  },
  {
    name: 'AuditCheckpointsWaiting',
    expr: 'sum by (job, instance) (gateway_audit_checkpoints_waiting) > 0',
    for: '30m',
    severity: 'warning',
    summary: 'Checkpoints of the audit log of {{ $labels.instance }} do not reach their place.',
    meaning:
      'The signed head of the audit log is kept here and not outside: who owns this host could shorten the log unseen.',
    threshold: 'Thirty minutes: a place may be away for maintenance.',
    turn: 'The team of the place, then the security team.',
    steps: [
      'The process log says which place does not take them.',
      'When it is back, nothing else is to do: they are sent again.',
    ],
    test: {
      at: '40m',
      fires: { [`gateway_audit_checkpoints_waiting${own}`]: '2x60' },
      calm: { [`gateway_audit_checkpoints_waiting${own}`]: '0x60' },
      labels: gateway,
    },
  },
  {
    name: 'StoreAway',
    expr: 'gateway_store_away == 1',
    for: '2m',
    severity: 'critical',
    summary: 'The shared store is away for {{ $labels.instance }}.',
    meaning:
      'Limits hold for each instance by itself, and creates under a budget are refused, unless the configuration says otherwise.',
    threshold: 'Two minutes are longer than a failover of Valkey.',
    turn: 'The team of Valkey.',
    steps: [
      'From the host of the gateway: `valkey-cli -u <address> ping`.',
      'The process log says what fails: connection, password, TLS.',
      '[operations.md](../operations.md) says what each part does meanwhile.',
    ],
    test: {
      at: '5m',
      fires: { [`gateway_store_away${own}`]: '1x10' },
      calm: { [`gateway_store_away${own}`]: '0x10' },
      labels: gateway,
    },
  },
  {
    name: 'CacheCutOff',
    expr: 'gateway_cache_standing{standing="alone"} == 1',
    for: '5m',
    severity: 'warning',
    summary: 'The cache of {{ $labels.instance }} is cut off from the others.',
    meaning: 'It cannot hear of writes of other instances and answers nothing from memory. Devin gets more reads.',
    threshold: 'Five minutes are longer than a restart of the store.',
    turn: 'The team of Valkey.',
    steps: [
      'Do what StoreAway says.',
      'If the store is there for others, compare clocks and network of this instance.',
    ],
    test: {
      at: '10m',
      fires: { [`gateway_cache_standing${of('standing="alone"')}`]: '1x20' },
      calm: { [`gateway_cache_standing${of('standing="together"')}`]: '1x20' },
      labels: { ...gateway, standing: 'alone' },
    },
  },
  {
    name: 'BudgetNearlyUsed',
    expr: 'max by (job, owner, budget) (gateway_budget_level_percent) >= 80',
    for: '5m',
    severity: 'warning',
    summary: 'The budget {{ $labels.budget }} of {{ $labels.owner }} is used to 80 percent or more.',
    meaning: 'At 100 percent creates are refused with 429 `budget-exceeded` until the window ends.',
    threshold: 'Eighty percent leave time for a decision.',
    turn: 'The owner of the budget.',
    steps: [
      '`/api/budgets` shows spent, reserved and left.',
      'See who spends: decision records of `org.sessions.create` by `app` and `subject`.',
      'Raise the limit in the policy of the team, or wait for the next window.',
    ],
    test: {
      at: '10m',
      fires: { [`gateway_budget_level_percent${of('owner="payments",budget="acus"')}`]: '80x20' },
      calm: { [`gateway_budget_level_percent${of('owner="payments",budget="acus"')}`]: '50x20' },
      labels: { job: 'devin-gateway', owner: 'payments', budget: 'acus' },
    },
  },
  {
    name: 'SpansDropped',
    expr: 'sum by (job, instance) (increase(gateway_telemetry_spans_total{result="dropped"}[15m])) > 0',
    for: '15m',
    severity: 'warning',
    summary: 'Traces of {{ $labels.instance }} are incomplete.',
    meaning: 'The collector is slow or away, or rejects spans. Requests are not affected.',
    threshold: 'A quarter of an hour: restarts of a collector cost some spans.',
    turn: 'The team of the collector.',
    steps: [
      'From the host of the gateway: `curl -sv <telemetry.otlp>`.',
      'Lower `telemetry.sample` if the collector does not keep up.',
      'The log has one line (event `telemetry`) with what the collector says of spans that it rejects: raise its limits.',
    ],
    test: {
      at: '40m',
      fires: { [`gateway_telemetry_spans_total${of('result="dropped"')}`]: '0+10x60' },
      calm: { [`gateway_telemetry_spans_total${of('result="exported"')}`]: '0+10x60' },
      labels: gateway,
    },
  },
]
