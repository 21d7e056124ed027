// Who may import whom: the table that architecture.test.ts holds, and its form in src/README.md.

/** A part, a file of it (`records/chain`), or `types of …` where only `import type` is meant. */
export type Allowed = readonly string[]

/** What each part may import of ours, besides itself. */
export const mayImport: Readonly<Record<string, Allowed>> = {
  problems: [],
  'no-schemas': [],
  http: [],
  config: [],
  json: [],
  limits: ['store/store'],
  blocks: [
    'problems',
    'config/diagnostics',
    'config/nearest',
    'config/units',
    'config/values/file-errors',
    'config/values/replace-file',
    'store/store',
  ],
  metrics: [],
  store: [],
  idempotency: ['problems', 'store/retry', 'store/sealing', 'store/store'],
  records: ['types of problems', 'config/values/file-errors'],
  cache: ['problems', 'http', 'types of catalogue', 'types of store', 'store/store'],
  identity: ['problems', 'http/date', 'types of config', 'config/values/addresses'],
  catalogue: ['problems', 'config'],
  keys: [
    'problems',
    'config/nearest',
    'config/values/file-errors',
    'config/values/replace-file',
    'types of config/values/secret-reference',
    'types of catalogue',
    'catalogue/permissions',
    'store/sealing',
    'store/store',
  ],
  budgets: ['limits/calendar', 'store/retry', 'store/store'],
  policy: [
    'problems',
    'config',
    'blocks/block',
    'budgets/budget',
    'types of identity',
    'identity/claim-path',
    'identity/claims',
    'identity/near-miss',
    'catalogue',
    'json',
    'keys',
    'types of limits',
    'limits/connection-shares',
  ],
  filtering: ['problems', 'http', 'types of cache', 'types of catalogue', 'catalogue/target', 'json'],
  gateway: [
    'no-schemas',
    'problems',
    'http',
    'filtering',
    'identity',
    'json',
    'catalogue',
    'policy',
    'keys',
    'limits',
    'blocks',
    'budgets',
    'cache',
    'idempotency',
    'metrics',
    'types of records',
    'records/mask',
    'records/safe-text',
  ],
  admin: [
    'problems',
    'config',
    'policy',
    'keys',
    'limits',
    'blocks/wanted',
    'types of budgets',
    'cache',
    'records',
    'metrics',
    'no-schemas',
  ],
  runtime: [
    'problems',
    'http',
    'config',
    'identity',
    'catalogue',
    'policy',
    'keys',
    'limits',
    'blocks',
    'budgets',
    'cache',
    'store',
    'records',
    'metrics',
    'gateway',
    'admin',
    'idempotency',
  ],
  workers: ['records'],
  sandbox: [
    'catalogue',
    'config',
    'runtime',
    'types of policy',
    'policy/model/named-organizations',
    'types of records',
  ],
  // What a command shows of keys is what operators are shown.
  cli: [
    'runtime',
    'workers',
    'problems',
    'config',
    'identity',
    'catalogue',
    'json',
    'policy',
    'keys',
    'sandbox',
    'records',
    'admin/views',
    'admin/rotation-views',
    'admin/rotations-api',
    'types of admin/blocks-api',
    'blocks',
  ],
  main: ['cli'],
}

/** The corner of each library; one that is not named here is used nowhere. */
export const corners: Readonly<Record<string, Allowed>> = {
  fastify: ['gateway', 'admin', 'sandbox'],
  '@fastify/http-proxy': ['gateway/app'],
  '@aws-sdk/client-secrets-manager': ['keys/sources/cloud/aws-source'],
  '@azure/identity': ['keys/sources/cloud/azure-source'],
  '@azure/keyvault-secrets': ['keys/sources/cloud/azure-source'],
  '@google-cloud/secret-manager': ['keys/sources/cloud/google-source'],
  undici: [
    'gateway/upstream',
    'types of gateway',
    'identity/signing-keys/json-fetch',
    'keys/sources/vault/vault-client',
  ],
  jose: ['identity', 'sandbox'],
  ioredis: ['store/connection'],
  'lru-cache': ['identity', 'cache', 'gateway/devin-users'],
  pino: ['records'],
  'prom-client': ['metrics/prometheus'],
  re2js: ['policy/guardrails/pattern'],
  yaml: ['config'],
  zod: ['config', 'catalogue', 'policy'],
}

/** Both tables as Markdown, for the map of the code. */
export function importTables(): string {
  const parts = Object.entries(mayImport)
  const leaves = parts.filter(([, allowed]) => allowed.length === 0).map(([part]) => part)
  const others = parts.filter(([, allowed]) => allowed.length > 0)
  return [
    '| part | may import of ours |',
    '| --- | --- |',
    `| ${codes(leaves)} | nothing |`,
    ...others.map(([part, allowed]) => `| ${codes([part])} | ${codes(allowed)} |`),
    '',
    '| library | may be imported by |',
    '| --- | --- |',
    ...Object.entries(corners).map(([library, places]) => `| ${codes([library])} | ${codes(places)} |`),
  ].join('\n')
}

function codes(names: Allowed): string {
  return names
    .map((name) => (name.startsWith('types of ') ? `types of \`${name.slice('types of '.length)}\`` : `\`${name}\``))
    .join(', ')
}
