// Mistakes that people make in configurations, policies and keys: each is told at its place, with what to do. The set that they
// are made in has none, and neither have the samples.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { config, guardrails, keys, limits, right, team, told, type Edit } from '../support/checked-set.ts'
import { callCommand } from '../support/command.ts'

const secretFile: Edit = [keys, '{ env: RUNNER_KEY }', '{ file: ../secrets/runner }']
const secondKey = right[keys]?.replace('keys:\n', '').replace('runner', 'second') ?? ''

const tests = 'policies/payments.test.yaml'
const testsOf = (as: string): string =>
  `- as: { ${as} }\n  cases:\n    - { do: GET /v3/organizations/org-payments/sessions, expect: deny }\n`

test('what may hold anything is not doubted: bodies of tests, texts for people', async () => {
  const body = '{ prompt: "${NAME} {{ x }} <word>" }'
  expect(
    await told([
      [
        tests,
        '',
        `- as: { groups: [nobody] }\n  cases:\n    - { do: POST /v3/organizations/org-payments/sessions, body: ${body}, expect: deny }\n`,
      ],
      [team, 'members:', 'owner: Ann <ann@corp.example>, <the platform team>\ndescription: what $HOME means\nmembers:'],
    ]),
  ).toEqual([])
})

test('the right set has no mistake, and the samples have none that is not meant', async () => {
  expect(await told([])).toEqual([])
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const samples = [
    ['check', '--config', join(root, 'config/gateway.yaml')],
    [
      'check',
      '--config',
      join(root, 'deploy/compose/gateway.yaml'),
      '--policies',
      join(root, 'deploy/compose/policies'),
    ],
  ]
  for (const args of samples) {
    const { err } = await callCommand(args)
    const lines = err
      .split('\n')
      .filter(
        (line) => line !== '' && !/is not set: it should hold the key|no such file|keys have no value here/.test(line),
      )
    expect(lines).toEqual([
      expect.stringContaining('is the placeholder of the sample: write the API domain of your company'),
    ])
  }
})

describe('the configuration', () => {
  test.each<[string, Edit | readonly Edit[], string, Record<string, string>?]>([
    [
      'an origin with the version of the API',
      [config, 'api.corp.example', 'api.corp.example/v3'],
      'config/gateway.yaml:5:11: "https://api.corp.example/v3" must end before "/v3": callers send the version of the API as part of the path, and it would stand there twice',
    ],
    [
      "the sample's placeholder",
      [config, 'api.corp.example', 'api.your-company.devinenterprise.com'],
      'config/gateway.yaml:5:11: warning: "https://api.your-company.devinenterprise.com" is the placeholder of the sample: write the API domain of your company',
    ],
    [
      'the web application in place of the API',
      [config, 'api.corp.example', 'app.devin.ai'],
      'config/gateway.yaml:5:11: warning: "https://app.devin.ai" is the web application: the API answers at https://api.devin.ai, or at the API domain of your company',
    ],
    [
      '$NAME in place of ${NAME}',
      [config, '../policies', '$HOME/policies'],
      'config/gateway.yaml:9:11: warning: "$HOME" is not replaced: a variable is written ${HOME}',
    ],
    [
      '%NAME% in place of ${NAME}',
      [config, 'https://sso.corp.example', "'%ISSUER%'"],
      'config/gateway.yaml:7:13: warning: "%ISSUER%" is not replaced: a variable is written ${ISSUER}',
    ],
    [
      'an empty variable',
      [config, 'https://api.corp.example', '${ORIGIN}'],
      'config/gateway.yaml:5:11: the environment variable ORIGIN is empty: set it, or give a default with ${ORIGIN:-default}',
      { ORIGIN: '' },
    ],
    [
      'an empty variable in a list or text',
      [config, 'devin-gateway', '"${AUDIENCE}"'],
      'config/gateway.yaml:8:15: the environment variable AUDIENCE is empty: set it, or give a default with ${AUDIENCE:-default}',
      { AUDIENCE: '' },
    ],
    [
      'a misspelt variable',
      [config, 'https://api.corp.example', '${ORIGN}'],
      'config/gateway.yaml:5:11: the environment variable ORIGN is not set: set it, or give a default with ${ORIGN:-default}; did you mean "ORIGIN"?',
      { ORIGIN: 'https://api.corp.example' },
    ],
    [
      'a missing path of the policies',
      [config, '../policies', '../polices'],
      'config/gateway.yaml:9:11: polices: the policy directory cannot be read: there is no such folder; did you mean "policies"?',
    ],
    [
      'a file as the path of the policies',
      [config, '../policies', '../policies/keys.yaml'],
      'config/gateway.yaml:9:11: policies/keys.yaml: the policy directory cannot be read: a part of the path is a file, not a folder',
    ],
    ...(['policies.shadow', 'policies_shadow', 'shadow'] as const).map((name): [string, Edit, string] => [
      `the shadow set as ${name}`,
      [config, '', `${name}: ../policies-next\n`],
      `config/gateway.yaml:11:1: unknown key "${name}"; did you mean "shadow_policies"?`,
    ]),
    [
      'the shadow set inside policies',
      [config, 'policies: ../policies', 'policies: { shadow: ../policies-next }'],
      'config/gateway.yaml:9:11: expected the path of a directory, found a mapping or a list: write policies: ../policies, and beside it shadow_policies: ../policies-next for a shadow set',
    ],
    [
      'a missing extension file',
      [config, '', 'catalogue: { files: [more.yaml] }\n'],
      'config/gateway.yaml:11:22: config/more.yaml: there is no such file',
    ],
    [
      'a folder as an extension file',
      [config, '', 'catalogue: { files: [.] }\n'],
      'config/gateway.yaml:11:22: config: it is a directory',
    ],
    [
      'a size without a unit',
      [config, '', 'cache: { max_size: 64 }\n'],
      'config/gateway.yaml:11:20: "64" has no unit: write 64MiB or 64KiB, or 64B where so few bytes are meant',
    ],
    [
      'a time without a unit',
      [config, '', 'shutdown: { delay: 5 }\n'],
      'config/gateway.yaml:11:20: "5" is not a duration: write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d',
    ],
    [
      'a time with the unit of another program',
      [config, '', 'shutdown: { delay: 5sec }\n'],
      'config/gateway.yaml:11:20: "5sec" is not a duration: write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d; did you mean "5s"?',
    ],
    [
      'a star where all is the word',
      [team, '[org-payments]', '"*"'],
      `${team}:4:16: expected "all" or a list, found the text "*": write all`,
    ],
    [
      'all where there is no such word',
      [team, '\n  - groups: [sso-payments]', ' all'],
      `${team}:2:10: expected a list, found the text "all": name each of them`,
    ],
    [
      'a duration in place of an instant',
      [team, 'ManageOrgSessions]\n', 'ManageOrgSessions]\n    until: 30d\n'],
      `${team}:8:12: must be a date and time with a zone, like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00`,
    ],
    ['no audience', [config, 'devin-gateway', '[]'], 'config/gateway.yaml:8:15: name at least one audience'],
    [
      'one algorithm without brackets',
      [config, 'devin-gateway', 'devin-gateway\n    algorithms: RS256'],
      'config/gateway.yaml:9:17: expected a list, found the text "RS256": put it in brackets, [RS256]',
    ],
    [
      'an issuer with a final slash',
      [config, 'https://sso.corp.example', 'https://sso.corp.example/'],
      'config/gateway.yaml:7:13: warning: the final slash counts: the iss claim of tokens must end with one, too. Remove it where theirs does not',
    ],
    [
      'the address of the metadata in place of the issuer',
      [config, 'https://sso.corp.example', 'https://sso.corp.example/.well-known/openid-configuration'],
      'config/gateway.yaml:7:13: "https://sso.corp.example/.well-known/openid-configuration" is the address of a document: the issuer is what its "issuer" and the iss claim of tokens say, probably "https://sso.corp.example"',
    ],
    [
      'one issuer in two spellings',
      [config, 'policies:', '  - { issuer: https://SSO.corp.example, audience: x }\npolicies:'],
      'config/gateway.yaml:9:15: warning: "https://SSO.corp.example" differs from the issuer "https://sso.corp.example" in letter case or a final slash only: tokens say one of the two',
    ],
    [
      'the same port twice',
      [config, '127.0.0.1:9090', '127.0.0.1:8080'],
      'config/gateway.yaml:3:10: listen.gateway has port 8080, too: choose another port for one of the two',
    ],
    [
      'the same port twice, on all addresses and on one',
      [config, '127.0.0.1:8080', '0.0.0.0:9090'],
      'config/gateway.yaml:3:10: listen.gateway has port 9090, too: choose another port for one of the two',
    ],
    [
      'a URL to listen on',
      [config, '127.0.0.1:8080', 'http://127.0.0.1:8080'],
      'config/gateway.yaml:2:12: "http://127.0.0.1:8080" is not an address to listen on: write host:port like 0.0.0.0:8080, "[::1]:8080" (in quotes), or a port alone; did you mean "127.0.0.1:8080"?',
    ],
    ...['../policies/decisions.ndjson', '../policies/logs/decisions.ndjson'].map((target): [string, Edit, string] => [
      `records in the folder of the policies: ${target}`,
      [config, 'decisions: stdout', `decisions: ${target}`],
      `config/gateway.yaml:10:39: warning: ${target.slice(3)} lies in the folder of the policies, where every file is read: reloads are refused unless .gatewayignore names it and all that is written beside it. Name another folder`,
    ]),
    [
      'a variable in the default of another one',
      [config, 'access: stdout', 'access: "${A_TARGET:-${B_TARGET:-stdout}}"'],
      'config/gateway.yaml:10:20: the default of A_TARGET holds another variable: a default is a plain text, so set A_TARGET itself',
    ],
    [
      'records on a folder',
      [config, 'decisions: stdout', 'decisions: ../policies'],
      'config/gateway.yaml:10:39: warning: policies is a folder: name a file in it, like ../policies/decisions.ndjson',
    ],
    [
      'records below a file',
      [config, 'audit: stdout', 'audit: gateway.yaml/audit.ndjson'],
      'config/gateway.yaml:10:54: warning: config/gateway.yaml/audit.ndjson cannot be created: config/gateway.yaml is no folder',
    ],
    [
      'records on a stream in other letters',
      [config, 'access: stdout', 'access: STDOUT'],
      'config/gateway.yaml:10:20: warning: "STDOUT" is a file of that name; did you mean "stdout"?',
    ],
    [
      'records on "-"',
      [config, 'access: stdout', 'access: "-"'],
      'config/gateway.yaml:10:20: warning: "-" is a file of that name; did you mean "stdout"?',
    ],
    [
      'records in a folder that is not there yet',
      [config, 'decisions: stdout', 'decisions: ../logs/'],
      'config/gateway.yaml:10:39: warning: "../logs/" is a folder: name a file in it, like ../logs/decisions.ndjson',
    ],
    ...['none', 'syslog', 'OFF'].map((word): [string, Edit, string] => [
      `records to ${word}`,
      [config, 'access: stdout', `access: ${word}`],
      `config/gateway.yaml:10:20: warning: "${word}" is a file of that name: write stdout, stderr, or the path of a file`,
    ]),
    [
      'records at an address',
      [config, 'access: stdout', 'access: https://logs.corp.example'],
      'config/gateway.yaml:10:20: warning: "https://logs.corp.example" is an address, and lines go to a stream or a file: write stdout, stderr, or the path of a file',
    ],
    [
      'the same port twice, by name and by address',
      [config, '127.0.0.1:8080', 'localhost:9090'],
      'config/gateway.yaml:3:10: listen.gateway has port 9090, too: choose another port for one of the two',
    ],
    [
      'the documentation in place of the API',
      [config, 'api.corp.example', 'docs.devin.ai'],
      'config/gateway.yaml:5:11: warning: "https://docs.devin.ai" is not the API: the API answers at https://api.devin.ai, or at the API domain of your company',
    ],
    ...['common', 'organizations', '{tenantid}'].map((tenant): [string, Edit, string] => [
      `the issuer of several tenants: ${tenant}`,
      [config, 'https://sso.corp.example', `https://login.microsoftonline.com/${tenant}/v2.0`],
      `config/gateway.yaml:7:13: warning: tokens never say "https://login.microsoftonline.com/${tenant}/v2.0": they name the tenant. Write its id in place of "${tenant}"`,
    ]),
    [
      "the placeholder of a vendor's sample as issuer",
      [config, 'sso.corp.example', 'your-domain.okta.com'],
      'config/gateway.yaml:7:13: warning: "https://your-domain.okta.com" is the placeholder of a sample: write the issuer of your company',
    ],
    [
      'an audience with a star',
      [config, 'devin-gateway', '["api://*"]'],
      'config/gateway.yaml:8:15: warning: an audience is compared letter by letter with the aud claim, and "*" stands for itself: list the values one by one',
    ],
    ...['$.realm_access.roles', '.groups', 'roles[]', 'a.roles[0]', '/groups', 'realm..roles'].map(
      (claim): [string, Edit, string] => [
        `the path ${claim} of a claim, in the language of another tool`,
        [config, 'devin-gateway', `devin-gateway\n    claims: { groups: "${claim}" }`],
        `config/gateway.yaml:9:23: warning: "${claim}" names no claim: write its name, or names with dots between them, like realm_access.roles`,
      ],
    ),
    [
      'an audience with a space behind it',
      [config, 'devin-gateway', '[devin-gateway, "other "]'],
      'config/gateway.yaml:8:15: warning: an audience begins or ends with white space, which tokens would have to have as well: remove it',
    ],
    [
      'a variable of make',
      [config, 'devin-gateway', '$(AUDIENCE)'],
      'config/gateway.yaml:8:15: warning: "$(AUDIENCE)" is not replaced: a variable is written ${AUDIENCE}',
    ],
    ...['{{ audience }}', '{% audience %}', '<%= audience %>'].map((mark): [string, Edit, string] => [
      `the template ${mark} in quotes`,
      [config, 'devin-gateway', `"x-${mark}"`],
      `config/gateway.yaml:8:15: warning: "${mark}" is a template, and templates are not filled in here: render the file first`,
    ]),
    [
      'a placeholder',
      [config, 'devin-gateway', '<your audience>'],
      'config/gateway.yaml:8:15: warning: "<your audience>" is a placeholder: write the value itself',
    ],
    [
      'a home directory in short',
      [config, '../policies', '~/policies'],
      'config/gateway.yaml:9:11: warning: "~" is not replaced: write the whole path',
    ],
    [
      'typographic quotes',
      [config, 'devin-gateway', '“devin-gateway”'],
      'config/gateway.yaml:8:15: warning: "“devin-gateway”" stands in typographic quotes, which are part of the text: write plain ones, or none',
    ],
    [
      'a number in quotes',
      [config, 'upstream:', 'upstream:\n  connections: "128"'],
      'config/gateway.yaml:5:16: expected a number, found the text "128": remove the quotes',
    ],
    [
      'a number beyond all numbers',
      [config, 'upstream:', 'upstream:\n  max_waiting: 1e99'],
      'config/gateway.yaml:5:16: must be at most 9007199254740991',
    ],
    [
      'a folder as a certificate',
      [config, 'upstream:', 'upstream:\n  ca: .'],
      'config/gateway.yaml:5:7: config: it is a directory',
    ],
  ])('%s', async (_, edit, message, env) => {
    const edits = (Array.isArray(edit[0]) ? edit : [edit]) as readonly Edit[]
    expect(await told(edits, env)).toContain(message)
  })
})

describe('the form of a file', () => {
  const fits = 'entries of one list or mapping begin in the same column'
  test.each<[string, Edit, string]>([
    [
      'a line that is indented too far',
      [config, '  admin', '   admin'],
      `config/gateway.yaml:3:4: this line is indented too far: ${fits}`,
    ],
    [
      'a line that is indented too little',
      [config, '    audience', '   audience'],
      `config/gateway.yaml:8:4: the indentation of this line fits nothing above it: ${fits}`,
    ],
    ...[
      ['[::1]:8080', ']'],
      ['{host}/x', '}'],
      ['[a, b] c # d', ']'],
    ].map(([value = '', bracket = '']): [string, Edit, string] => [
      `text behind brackets: ${value}`,
      [config, '127.0.0.1:8080', value],
      `config/gateway.yaml:2:12: nothing may follow the "${bracket}": put it between the brackets, or the whole text in quotes`,
    ]),
    [
      'lines that end with CR alone',
      [team, /[^]*/.exec(right[team] ?? '')?.[0] ?? '', `# a team\r${(right[team] ?? '').replaceAll('\n', '\r')}`],
      'policies/teams/payments.yaml:1:1: its lines end with CR alone: save it with LF or CRLF',
    ],
    [
      'list items in two columns',
      [team, '  - groups: [sso-payments]', '   - groups: [sso-payments]\n  - app: [bot]'],
      `policies/teams/payments.yaml:4:3: the indentation of this line fits nothing above it: ${fits}`,
    ],
    [
      'a tab',
      [team, '    allow', '\tallow'],
      'policies/teams/payments.yaml:7:1: YAML does not allow tabs as indentation: use spaces',
    ],
    [
      'a space that is missing behind a colon',
      [team, 'team: payments', 'team:payments'],
      'policies/teams/payments.yaml:1:1: a space is missing behind "team:"',
    ],
    [
      'a colon that is missing',
      [team, 'grants:', 'grants'],
      'policies/teams/payments.yaml:5:1: this line is no entry: write "key: value", or "- value" in a list',
    ],
    [
      'a text with a colon',
      [team, 'team: payments', 'team: pay: ments'],
      'policies/teams/payments.yaml:1:7: a text with ": " in it must be in quotes',
    ],
    [
      'a bracket that is not closed',
      [team, '[org-payments]', '[org-payments'],
      'policies/teams/payments.yaml:4:16: this "[" is never closed: put "]" behind its last entry',
    ],
    [
      'a brace that is not closed',
      [keys, ' }', ''],
      'policies/keys.yaml:6:13: this "{" is never closed: put "}" behind its last entry',
    ],
    [
      'a bracket that closes nothing',
      [team, '[org-payments]', '[org-payments]]'],
      'policies/teams/payments.yaml:4:30: this "]" closes nothing: remove it, or put the text in quotes',
    ],
    [
      'a brace that closes a bracket',
      [team, '[org-payments]', '[org-payments}'],
      'policies/teams/payments.yaml:4:29: this "}" does not close the "[" before it: put "]" here, or the text in quotes',
    ],
    [
      'a quote that is not closed',
      [team, 'sso-payments', "'sso-payments"],
      "policies/teams/payments.yaml:3:14: this ' is never closed: put another one where the text ends",
    ],
    [
      'more behind a quote',
      [config, 'devin-gateway', "'it's'"],
      'config/gateway.yaml:8:19: nothing may follow a text in quotes: put the whole text in quotes of the other kind',
    ],
    [
      'a comment without a space before it',
      [team, '[org-payments]', '[org-payments]#ours'],
      'policies/teams/payments.yaml:4:30: a space is missing before "#": only then does it begin a comment',
    ],
    [
      'a star without quotes',
      [team, '[ViewOrgSessions, ManageOrgSessions]', '*'],
      'policies/teams/payments.yaml:7:12: a text that begins with "*" or "&" must be in quotes',
    ],
    [
      'a sign that begins no text',
      [team, 'payments', '@payments'],
      'policies/teams/payments.yaml:1:7: a text that begins with "@" must be in quotes',
    ],
    [
      'a backslash in double quotes',
      [guardrails, '{ max_length: 9000 }', '{ matches: "^\\d+$" }'],
      'policies/guardrails.yaml:5:28: "\\\\d" has no meaning in a text in double quotes: use single quotes, where a backslash stands for itself',
    ],
    [
      'a list behind its key',
      [team, '\n  - groups: [sso-payments]', ' - groups: [sso-payments]'],
      'policies/teams/payments.yaml:2:10: a list begins on the line below its key, or stands in brackets: [a, b]',
    ],
    [
      'a template',
      [team, 'team: payments', 'team: {{ .Values.team }}'],
      'policies/teams/payments.yaml:1:8: "{{" begins a template, and templates are not filled in here: render the file first',
    ],
    [
      'marks of a conflict',
      [team, 'grants:', '<<<<<<< HEAD\ngrants:\n=======\n>>>>>>> other'],
      'policies/teams/payments.yaml:5:1: Git left the two sides of a conflict here: keep one of them, and remove the marks',
    ],
    [
      'a variable without quotes in brackets',
      [team, 'sso-payments', '${GROUP}'],
      'policies/teams/payments.yaml:3:14: variables like ${NAME} are not replaced in this file: write the value itself',
    ],
    [
      'a comma that is missing in braces',
      [
        team,
        '[ViewOrgSessions, ManageOrgSessions]',
        '[ViewOrgSessions]\n    when: { app: [bot], subject: ann groups: [leads] }',
      ],
      'policies/teams/payments.yaml:8:38: a comma is missing before "groups:", or the text before it must be in quotes',
    ],
    [
      'a comma that is missing behind a text in quotes',
      [keys, '{ env: RUNNER_KEY }', '{ env: "RUNNER_KEY" file: x }'],
      'policies/keys.yaml:6:33: a comma is missing between two entries',
    ],
    [
      'a comma that is missing behind a list',
      [team, 'groups: [sso-payments]', '{ groups: [sso-payments] app: [bot] }'],
      'policies/teams/payments.yaml:3:30: a comma is missing between two entries',
    ],
    [
      'a comma that is missing at the end of a line',
      [keys, '{ env: RUNNER_KEY }', '{\n      env: RUNNER_KEY\n      file: x\n    }'],
      'policies/keys.yaml:7:12: a comma is missing at the end of this line',
    ],
    [
      'a comma that is missing between two names',
      [keys, 'ViewOrgSessions, Man', 'ViewOrgSessions Man'],
      'policies/keys.yaml:5:19: "ViewOrgSessions ManageOrgSessions" is read as one text: put a comma between "ViewOrgSessions" and "ManageOrgSessions"',
    ],
    [
      'two commas',
      [team, ', ManageOrgSessions', ',, ManageOrgSessions'],
      'policies/teams/payments.yaml:7:29: an entry is missing before this ",": add it, or remove the ","',
    ],
    [
      'a dash in brackets',
      [team, '[sso-payments]', '[- sso-payments]'],
      'policies/teams/payments.yaml:3:14: inside [ ] entries have commas between them, and no "- " before them',
    ],
    [
      'a space that is missing in braces',
      [keys, 'env: RUNNER_KEY', 'env:RUNNER_KEY'],
      'policies/keys.yaml:6:15: a space is missing behind "env:"',
    ],
    [
      'an equals sign in braces',
      [keys, 'env: RUNNER_KEY', 'env=RUNNER_KEY'],
      'policies/keys.yaml:6:15: write ":" and a space in place of "=" behind "env"',
    ],
    [
      'a space that is missing inside a list',
      [team, 'groups: [', 'groups:['],
      'policies/teams/payments.yaml:3:5: expected a mapping, found the text "groups:[sso-payments]": a space is missing behind "groups:"',
    ],
    [
      'no-break spaces',
      [team, '    allow', '\u00A0\u00A0\u00A0\u00A0allow'],
      'policies/teams/payments.yaml:7:1: this line holds a space that is none for YAML, like a no-break space: type its spaces anew',
    ],
    [
      'a tag in brackets',
      [team, '[sso-payments]', '[!sso]'],
      'policies/teams/payments.yaml:3:14: tags like !sso are not supported: write the plain value, in quotes if it is a text',
    ],
    [
      'a mapping without content',
      [team, '[ViewOrgSessions, ManageOrgSessions]', '\n    when:'],
      'policies/teams/payments.yaml:8:5: expected a mapping, found nothing: indent what belongs to it, or remove the key',
    ],
  ])('%s', async (_, edit, message) => {
    expect(await told([edit])).toContain(message)
  })
})

describe('policies', () => {
  test.each<[string, Edit | readonly Edit[], string]>([
    [
      'members of an issuer that is not configured',
      [team, '[sso-payments]', '[sso-payments]\n    issuer: https://sso.corp.exmple'],
      'policies/teams/payments.yaml:4:13: warning: no issuer "https://sso.corp.exmple" is configured, so no caller has it; did you mean "https://sso.corp.example"?',
    ],
    [
      'a condition on an issuer that is not configured',
      [team, '', '    when: { issuer: [https://login.other.example] }\n'],
      'policies/teams/payments.yaml:8:22: warning: no issuer "https://login.other.example" is configured, so no caller has it: the issuers are https://sso.corp.example',
    ],
    [
      'a group with a star',
      [team, 'sso-payments', 'sso-payments-*'],
      'policies/teams/payments.yaml:3:14: warning: "sso-payments-*" is compared letter by letter with what the token says, and "*" stands for itself: list the values one by one',
    ],
    [
      'an address with a star',
      [team, 'groups: [sso-payments]', 'email: "*@corp.example"'],
      'policies/teams/payments.yaml:3:12: warning: "*@corp.example" is compared letter by letter with what the token says, and "*" stands for itself: list the values one by one',
    ],
    [
      'a claim with a star',
      [team, 'groups: [sso-payments]', 'claims: { sub: "repo:corp/*" }'],
      'policies/teams/payments.yaml:3:20: warning: "repo:corp/*" is compared letter by letter with what the token says, and "*" stands for itself: list the values one by one',
    ],
    [
      'a group as a regular expression',
      [team, 'sso-payments', '"^sso-.+$"'],
      'policies/teams/payments.yaml:3:14: warning: "^sso-.+$" is compared letter by letter with what the token says, and is no regular expression: list the values one by one',
    ],
    [
      'a group that ends with a space',
      [team, 'sso-payments', '"sso-payments "'],
      'policies/teams/payments.yaml:3:14: warning: "sso-payments " is compared letter by letter with what the token says, and begins or ends with white space: remove it',
    ],
    [
      'an address that is none',
      [team, 'groups: [sso-payments]', 'email: corp.example'],
      'policies/teams/payments.yaml:3:12: warning: "corp.example" is compared letter by letter with what the token says, and is no e-mail address: write all of it, like jane@corp.example',
    ],
    [
      'a variable in a policy',
      [team, 'sso-payments', '"${GROUP}"'],
      'policies/teams/payments.yaml:3:14: warning: "${GROUP}" stands for itself, because variables are not replaced in this file: write the value itself',
    ],
    [
      'a variable in the inventory',
      [keys, 'organization: org-payments', 'organization: "${ORG}"'],
      'policies/keys.yaml:4:19: warning: "${ORG}" stands for itself, because variables are not replaced in this file: write the value itself; a secret is named like { env: NAME }',
    ],
    ...['bot-[0-9]+', 'sso-(a|b)', 'team\\d', 'x.+'].map((written): [string, Edit, string] => [
      `a group as the regular expression ${written}`,
      [team, 'sso-payments', `'${written}'`],
      `policies/teams/payments.yaml:3:14: warning: ${JSON.stringify(written)} is compared letter by letter with what the token says, and is no regular expression: list the values one by one`,
    ]),
    [
      'a variable of a shell in a policy',
      [team, 'sso-payments', '$GROUP'],
      'policies/teams/payments.yaml:3:14: warning: "$GROUP" stands for itself, because variables are not replaced in this file: write the value itself',
    ],
    [
      'a variable in a test',
      [tests, '', testsOf('groups: ["${GROUP}"]')],
      'policies/payments.test.yaml:1:18: warning: "${GROUP}" stands for itself, because variables are not replaced in this file: write the value itself',
    ],
    [
      'a group with a star in a test',
      [tests, '', testsOf('groups: [sso-*]')],
      'policies/payments.test.yaml:1:18: warning: "sso-*" is compared letter by letter with what the token says, and "*" stands for itself: list the values one by one',
    ],
    [
      'an issuer in a test that is not configured',
      [tests, '', testsOf('issuer: https://sso.corp.exmple')],
      'policies/payments.test.yaml:1:17: warning: no issuer "https://sso.corp.exmple" is configured, so no caller has it; did you mean "https://sso.corp.example"?',
    ],
    [
      'a wrong organization that a key serves',
      [
        keys,
        '',
        '  - { id: all, scope: enterprise, serves_organizations: [org-paymnts], permissions: [ViewAccountSessions], secret: { env: ALL_KEY } }\n',
      ],
      'policies/keys.yaml:7:58: warning: no team may touch organization "org-paymnts", so key "all" is never used for it; did you mean "org-payments"?',
    ],
    [
      'a wrong organization in an invariant',
      [
        'policies/invariants.yaml',
        '',
        'invariants:\n  - { id: x, never: { do: [org.secrets.*], organizations: [org-paymnts] } }\n',
      ],
      'policies/invariants.yaml:2:60: warning: no team and no key names organization "org-paymnts"; did you mean "org-payments"?',
    ],
    [
      'a wrong default organization',
      [team, 'grants:', 'default_organization: org-paymnts\ngrants:'],
      `policies/teams/payments.yaml:5:23: default_organization "org-paymnts" is not among the team's organizations; did you mean "org-payments"?`,
    ],
    [
      'a grant of the whole enterprise behind a fence, by a pattern',
      [team, 'ManageOrgSessions]', 'ManageOrgSessions, ent.*]'],
      expect.stringMatching(
        /^policies\/teams\/payments\.yaml:7:49: warning: "ent\.\*" reaches further than the fence of team payments \(org-payments\): \d+ of its \d+ operations, like ent\.\S+, name no organization and are always refused/,
      ),
    ],
    [
      'an organization with a star',
      [team, '[org-payments]', '["org-*"]'],
      'policies/teams/payments.yaml:4:17: an organization id must not be empty nor hold "%", "/", "*" or spaces',
    ],
    [
      'all in brackets',
      [team, '[org-payments]', '[all]'],
      'policies/teams/payments.yaml:4:17: "all" stands alone, without brackets',
    ],
    [
      'a wrong organization in one key',
      [keys, 'organization: org-payments', 'organization: org-paymnts'],
      'policies/keys.yaml:4:19: warning: no team may touch organization "org-paymnts", so key "runner" is never used; did you mean "org-payments"?',
    ],
    [
      'a grant of everything behind a fence',
      [team, '[ViewOrgSessions, ManageOrgSessions]', '["*"]'],
      expect.stringMatching(
        /^policies\/teams\/payments\.yaml:7:13: warning: grant "run-sessions" covers all \d+ operations, and \d+ of them reach the whole enterprise, which the fence of team payments \(org-payments\) refuses: name what the team needs, like org\.\*$/,
      ),
    ],
    [
      'an operation of the whole enterprise behind a fence',
      [team, 'ManageOrgSessions]', 'ManageOrgSessions, ent.audit-logs.list]'],
      expect.stringMatching(
        /^policies\/teams\/payments\.yaml:7:49: warning: ent\.audit-logs\.list names no organization, so the fence of team payments \(org-payments\) always refuses it: grant the organization's own operation/,
      ),
    ],
    [
      'a permission of the whole enterprise behind a fence, which can never be used',
      [team, 'ManageOrgSessions]', 'ManageOrgSessions, ViewEnterpriseInfraDetails]'],
      expect.stringMatching(
        /^policies\/teams\/payments\.yaml:7:49: warning: permission ViewEnterpriseInfraDetails can never be used here: \S*ent\.\S+ names no organization, so the fence of team payments \(org-payments\) always refuses it: /,
      ),
    ],
    [
      'a permission of the enterprise that reaches further than the fence',
      [team, 'ManageOrgSessions]', 'ManageOrgSessions, ManageBilling]'],
      expect.stringMatching(
        /^policies\/teams\/payments\.yaml:7:49: warning: permission ManageBilling reaches further than the fence of team payments \(org-payments\): \d+ of its \d+ operations, like ent\.\S+, name no organization and are always refused, the others are allowed inside the fence\. Grant by id what the team needs, like ent\.\S+$/,
      ),
    ],
    [
      'a path in place of an operation',
      [team, '[ViewOrgSessions, ManageOrgSessions]', '["GET /v3/organizations/{org_id}/sessions"]'],
      'policies/teams/payments.yaml:7:13: operations are named by their ids, not by paths: "GET /v3/organizations/{org_id}/sessions" is "org.sessions.list"',
    ],
    [
      'a star inside a segment',
      [team, '[ViewOrgSessions, ManageOrgSessions]', '["org.sess*.list"]'],
      'policies/teams/payments.yaml:7:13: the pattern "org.sess*.list" covers no operation of the catalogue: "*" stands for a whole segment, like org.sessions.*',
    ],
    ...[
      ['warning', 'warn'],
      ['enforced', 'enforce'],
      ['shad', 'shadow'],
    ].map(([written, meant]): [string, Edit, string] => [
      `another form of a word: ${written}`,
      [team, '', `    mode: ${written}\n`],
      `policies/teams/payments.yaml:8:11: expected "enforce", "warn", "shadow" or "off", found the text "${written}"; did you mean "${meant}"?`,
    ]),
    [
      'the beginning of a word',
      [keys, 'scope: organization', 'scope: org'],
      'policies/keys.yaml:3:12: expected "organization" or "enterprise", found the text "org"; did you mean "organization"?',
    ],
    [
      'limits that are empty',
      [team, '', 'limits: {}\n'],
      'policies/teams/payments.yaml:8:9: warning: limits: no limit is named here, so nothing is bounded. Add one, or remove the key',
    ],
    [
      'limits of an app that nobody has',
      [
        [team, 'groups: [sso-payments]', 'app: [payments-bot]'],
        [team, '', 'limits: { apps: { payment-bot: { requests: 5/min } } }\n'],
      ],
      'policies/teams/payments.yaml:8:32: warning: no member of team payments calls with app "payment-bot", so its limits bind nothing; did you mean "payments-bot"?',
    ],
    [
      'limits of operations that no grant allows',
      [team, '', 'limits: { operations: { org.secrets.*: { requests: 5/min } } }\n'],
      'policies/teams/payments.yaml:8:40: warning: no grant allows team payments what "org.secrets.*" covers, so its limits bind nothing: remove them, or add the grant',
    ],
    [
      'writes of an operation that reads',
      [team, '', 'limits: { operations: { org.sessions.list: { writes: 5/min } } }\n'],
      'policies/teams/payments.yaml:8:54: warning: writes binds nothing: no grant allows a write (what "org.sessions.list" covers for team payments)',
    ],
    [
      'a budget of a team that creates no sessions',
      [
        [team, ', ManageOrgSessions', ''],
        [team, '', 'limits: { acus: 5/month }\n'],
      ],
      'policies/teams/payments.yaml:8:17: warning: acus binds nothing: no grant allows org.sessions.create (team payments)',
    ],
    [
      'a limit above the one of all',
      [team, '', 'limits: { requests: 10/min, per_principal: { requests: 60/min } }\n'],
      'policies/teams/payments.yaml:8:56: warning: requests is higher here (60) than in the limits of team payments (10), which are reached first: lower it, or remove it',
    ],
    [
      'budgets of an organization that no team has',
      [limits, '', 'limits: { organizations: { org-paymnts: { acus: 5/month } } }\n'],
      'policies/limits.yaml:1:41: warning: no team may touch organization "org-paymnts", so its budgets bind nothing; did you mean "org-payments"?',
    ],
    [
      'a watched key where no key may read the audit log',
      [keys, '{ env: RUNNER_KEY }', '{ env: RUNNER_KEY }\n    watch: true'],
      expect.stringMatching(
        /^policies\/keys\.yaml:\d+:12: warning: key "runner" cannot be watched: no enterprise key .* Add one with ManageEnterpriseSettings$/,
      ),
    ],
    [
      'a misspelt service user',
      [keys, '{ env: RUNNER_KEY }', '{ env: RUNNER_KEY }\n    service_usr: x'],
      expect.stringMatching(/^policies\/keys\.yaml:\d+:5: unknown key "service_usr"; did you mean "service_user"\?/),
    ],
    [
      'a guardrail without a bound',
      [guardrails, '    body:\n      prompt: { max_length: 9000 }\n', ''],
      'policies/guardrails.yaml:2:9: warning: guardrail "bounded" bounds nothing: add body, query, response, or grants: named',
    ],
    [
      'a guardrail for a team that may not do it',
      [guardrails, '[org.sessions.create]', '[org.playbooks.create]\n    teams: [payments]'],
      'policies/guardrails.yaml:4:12: warning: guardrail "bounded" binds nothing: no grant allows its teams any of the operations under "on"',
    ],
    [
      'a permission in a guardrail',
      [guardrails, 'org.sessions.create', 'ManageOrgSessions'],
      expect.stringMatching(
        /^policies\/guardrails\.yaml:3:10: "ManageOrgSessions" is a permission: name operations here, by their ids like org\./,
      ),
    ],
    ...['corp/.*', '[a-z]+', '(a|b)-x', 'corp/.+', 'x\\d', 'a{2,5}', 'corp$', '/^corp$/', '{a,b}/*'].map(
      (pattern): [string, Edit, string] => [
        `the regular expression ${pattern} as a plain pattern`,
        [guardrails, '{ max_length: 9000 }', `{ matches: '${pattern}' }`],
        `policies/guardrails.yaml:5:26: warning: ${JSON.stringify(pattern)} is read as a plain pattern, in which only "*" is special. Where a regular expression is meant, write it from ^ to $`,
      ],
    ),
    ...(
      [
        [
          'devin_mode: { one_of: [normal, ltie] }',
          38,
          'the API documents no value "ltie" of devin_mode; did you mean "lite"?',
        ],
        ['devin_mode: { equals: Fast }', 29, 'the API documents no value "Fast" of devin_mode; did you mean "fast"?'],
        ['prompt: { at_most: 5 }', 26, 'at_most bounds a number, and the API documents prompt as a text'],
        [
          'max_acu_limit: { max_length: 5 }',
          36,
          'max_length bounds a text, and the API documents max_acu_limit as a number',
        ],
        ['repos: { matches: "corp/*" }', 25, 'matches bounds a text, and the API documents repos as a list'],
        [
          'prompt: { each_matches: "corp/*" }',
          31,
          'each_matches bounds a list, and the API documents prompt as a text',
        ],
        ['max_acu_limit: { default: "10" }', 33, 'the API documents max_acu_limit as a number, and "10" is a text'],
        [
          'bypass_approval: { equals: "false" }',
          34,
          'the API documents bypass_approval as true or false, and "false" is a text',
        ],
      ] as const
    ).map(([rule, column, message]): [string, Edit, string] => [
      `a bound that does not fit its field: ${rule}`,
      [guardrails, 'prompt: { max_length: 9000 }', rule],
      `policies/guardrails.yaml:5:${column}: warning: ${message}`,
    ]),
    [
      'exceptions inside the teams of a guardrail',
      [guardrails, '    body:', '    teams: { except: [payments] }\n    body:'],
      'policies/guardrails.yaml:4:12: expected "all", a string or a list, found a mapping: `except` stands beside this key, as a list of mappings',
    ],
    [
      'a guardrail whose teams are all excepted',
      [guardrails, '    body:', '    except: [{ teams: [payments] }]\n    body:'],
      'policies/guardrails.yaml:4:13: warning: guardrail "bounded" binds nobody: every team that it is for is excepted',
    ],
    [
      'an attribute without braces',
      [guardrails, 'prompt: { max_length: 9000 }', 'tags: { add: ["team:$team"] }'],
      'policies/guardrails.yaml:5:21: warning: "$team" stands for itself here: an attribute of the caller is written ${team}',
    ],
    [
      'an attribute in a pattern',
      [guardrails, '{ max_length: 9000 }', '{ matches: "${team}*" }'],
      'policies/guardrails.yaml:5:26: warning: "${team}*" is compared as it stands: a pattern holds no attributes of the caller',
    ],
    [
      'a policy file of no kind',
      ['policies/roles.yaml', '', 'roles: []\n'],
      'policies/roles.yaml:0:0: cannot tell what kind of policy file this is: put it at teams/NAME.yaml, guardrails.yaml, invariants.yaml, keys.yaml, limits.yaml, devin-users.yaml or NAME.test.yaml, or begin it with "team:", "guardrails:", "invariants:", "keys:", "limits:" or "devin_users:"',
    ],
  ])('%s', async (_, edit, message) => {
    const edits = (Array.isArray(edit[0]) ? edit : [edit]) as readonly Edit[]
    expect(await told(edits)).toContainEqual(message)
  })

  test.each([
    ['corp/*', 'https://git.corp.example/*', 'v1.*', '*.*', 'email|*', '[bot] *', '[JIRA-123] *', '^corp/[a-z]+$'],
  ])('plain patterns that are meant are not doubted: %s', async (...patterns) => {
    for (const pattern of patterns)
      expect(await told([[guardrails, '{ max_length: 9000 }', `{ matches: '${pattern}' }`]]), pattern).toEqual([])
  })

  test.each([
    'devin_mode: { one_of: [normal, swe-2-max], default: normal }',
    'create_as_user_id: { equals: principal.devin_user_id }',
    'tags: { add: ["team:${team}"], max_items: 9, reserve: ["team:"] }',
    'max_acu_limit: { default: 5, at_most: 25, at_least: 1 }',
    'title: { default: "by ${subject}", matches: "a*", max_length: 5 }',
    'bypass_approval: { equals: false }',
  ])('bounds that fit their field are not doubted: %s', async (rule) => {
    expect(await told([[guardrails, 'prompt: { max_length: 9000 }', rule]])).toEqual([])
  })

  test('limits and guardrails that bind are not doubted', async () => {
    const written =
      'limits: { requests: 100/min, writes: 10/min, sessions: 50/day, acus: 100/month, apps: { bot: { requests: 5/min } }, per_principal: { writes: 2/min }, operations: { org.sessions.create: { writes: 1/min } } }\n'
    expect(await told([[team, '', written]])).toEqual([])
    expect(await told([[team, '', 'limits: { priority: low }\n']])).toEqual([])
  })
})

describe('keys', () => {
  test.each<[string, Edit | readonly Edit[], string, Record<string, string>?]>([
    [
      'a file that is missing',
      secretFile,
      'policies/keys.yaml:6:13: warning: key "runner": the file secrets/runner cannot be read: there is no such file',
    ],
    [
      'a folder',
      [keys, '{ env: RUNNER_KEY }', '{ file: ../policies }'],
      'policies/keys.yaml:6:13: warning: key "runner": the file policies cannot be read: it is a directory',
    ],
    [
      'an empty file',
      [secretFile, ['secrets/runner', '', '']],
      'policies/keys.yaml:6:13: warning: key "runner": the file secrets/runner is empty: it should hold the key',
    ],
    [
      'an empty variable',
      [keys, 'RUNNER_KEY', 'OTHER_KEY'],
      'policies/keys.yaml:6:13: warning: key "runner": the environment variable OTHER_KEY is empty: it should hold the key',
      { OTHER_KEY: '' },
    ],
    [
      'a variable that is not set',
      [keys, 'RUNNER_KEY', 'RUNER_KEY'],
      'policies/keys.yaml:6:13: warning: key "runner": the environment variable RUNER_KEY is not set: it should hold the key; did you mean "RUNNER_KEY"?',
    ],
    [
      'a file with a trailing space',
      [secretFile, ['secrets/runner', '', 'cog_runner ']],
      'policies/keys.yaml:6:13: warning: key "runner": the file secrets/runner does not hold a service-user key: it ends with white space; remove it',
    ],
    ...(
      [
        ['“cog_runner”', 'it stands in quotes; remove them'],
        ['cog_run\u200Bner', 'it holds a character that cannot be seen; type the key, or copy it anew'],
        ['{"key":"cog_runner"}', 'it is a JSON document; keep the key alone'],
        ['key: cog_runner', 'it begins with a name and ":"; keep the key alone'],
        ['Authorization: Bearer cog_runner', 'it begins with "Authorization:"; keep the key alone'],
      ] as const
    ).map(([text, fault]): [string, readonly Edit[], string] => [
      `a file whose text is not the key alone: ${fault}`,
      [secretFile, ['secrets/runner', '', text]],
      `policies/keys.yaml:6:13: warning: key "runner": the file secrets/runner does not hold a service-user key: ${fault}`,
    ]),
    [
      'one value under two ids',
      [[keys, '', secondKey]],
      'policies/keys.yaml:11:13: warning: key "second": its value is also that of key "runner": one of the two names the wrong secret, or is superfluous',
    ],
    [
      'a file that others can read',
      [
        [keys, '{ env: RUNNER_KEY }', '{ file: ../secrets/open }'],
        ['secrets/open', '', 'cog_runner\n'],
      ],
      'policies/keys.yaml:6:13: warning: key "runner": other users of this machine may read secrets/open: chmod o-rwx takes that away',
    ],
    [
      'a home directory in short',
      [keys, '{ env: RUNNER_KEY }', '{ file: ~/runner }'],
      'policies/keys.yaml:6:21: "~" is not replaced: write the whole path',
    ],
    [
      'a variable in place of its name',
      [keys, '{ env: RUNNER_KEY }', '{ env: $RUNNER_KEY }'],
      'policies/keys.yaml:6:20: must be the name of an environment variable, without "$"',
    ],
  ])('%s', async (_, edit, message, env) => {
    const edits = (Array.isArray(edit[0]) ? edit : [edit]) as readonly Edit[]
    expect(await told(edits, env)).toContain(message)
  })

  test('a secret file that only its owner can read, and with one final line break, is right', async () => {
    expect(await told([secretFile, ['secrets/runner', '', 'cog_runner\n']])).toEqual([])
  })
})

describe('a name of another product', () => {
  const grant = 'allow: [ViewOrgSessions, ManageOrgSessions]'
  test.each<[string, string, string, string]>([
    [config, 'origin:', 'url:', 'origin'],
    [config, 'listen:', 'server:', 'listen'],
    [config, 'issuer:', 'iss:', 'issuer'],
    [config, 'audience: devin-gateway', 'audience: devin-gateway\n    jwksUrl: https://x.example/keys', 'jwks_uri'],
    [config, 'audience: devin-gateway', 'audience: devin-gateway\n    leeway: 30s', 'clock_tolerance'],
    [team, 'groups:', 'roles:', 'groups'],
    [team, 'grants:', 'rules:', 'grants'],
    [team, grant, `${grant}\n    expires: 2030-01-01T00:00:00Z`, 'until'],
    [team, 'allow:', 'permissions:', 'allow'],
    [keys, 'organization:', 'org_id:', 'organization'],
    [keys, '{ env: RUNNER_KEY }', '{ path: ../secrets/runner }', 'file'],
    [keys, 'permissions:', 'scopes:', 'permissions'],
    [guardrails, 'max_length: 9000', 'pattern: "a*"', 'matches'],
    [guardrails, 'on:', 'operations:', 'on'],
  ])('%s: "%s" as "%s" is told as "%s"', async (file, written, instead, ours) => {
    const theirs = /(\w+):[^:]*$/.exec(instead.replace(/(https?|T00).*/, ''))?.[1] ?? ''
    expect(await told([[file, written, instead]])).toContainEqual(
      expect.stringMatching(new RegExp(`^${file}:\\d+:\\d+: unknown key "${theirs}"; did you mean "${ours}"\\?$`)),
    )
  })
})
