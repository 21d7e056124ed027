// Writes what is derived: a JSON schema for each file that people write and the configuration reference from the
// validators, the import tables of src/README.md from the test that holds them, and what monitors the gateway from
// its metrics and alerts. `node tools/generate.ts` writes, `--check` only compares and exits 1 when a file differs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { extensionSchema } from '../src/catalogue/extension.ts'
import { gatewaySchema } from '../src/config/schema.ts'
import { gatewayLimitsSchema } from '../src/policy/documents/gateway-limits-document.ts'
import { devinUsersSchema } from '../src/policy/documents/devin-user-document.ts'
import { guardrailsSchema } from '../src/policy/documents/guardrail-document.ts'
import { invariantsSchema } from '../src/policy/documents/invariant-document.ts'
import { keysSchema } from '../src/policy/documents/key-document.ts'
import { teamSchema } from '../src/policy/documents/team-document.ts'
import { testsSchema } from '../src/policy/documents/test-document.ts'
import { importTables } from '../test/support/import-table.ts'
import { completeSchema } from './json-schema.ts'
import { monitoringFiles } from './monitoring/files.ts'
import { configurationReference, type JsonSchema } from './reference.ts'

interface Source {
  readonly name: string
  readonly title: string
  /** Where such files live, for the reference. */
  readonly place: string
  readonly schema: z.ZodType
}

const sources: readonly Source[] = [
  { name: 'gateway', title: 'Gateway configuration', place: 'config/gateway.yaml', schema: gatewaySchema },
  {
    name: 'extension',
    title: 'Extension of the catalogue',
    place: 'listed under `catalogue.files`',
    schema: extensionSchema,
  },
  { name: 'team', title: 'Team policy', place: 'policies/teams/*.yaml', schema: teamSchema },
  { name: 'keys', title: 'Inventory of service-user keys', place: 'policies/keys.yaml', schema: keysSchema },
  { name: 'limits', title: 'Limits of the whole gateway', place: 'policies/limits.yaml', schema: gatewayLimitsSchema },
  { name: 'guardrails', title: 'Guardrails', place: 'policies/guardrails*.yaml', schema: guardrailsSchema },
  { name: 'invariants', title: 'Invariants', place: 'policies/invariants*.yaml', schema: invariantsSchema },
  { name: 'devin-users', title: 'Users of Devin', place: 'policies/devin-users.yaml', schema: devinUsersSchema },
  { name: 'tests', title: 'Policy tests', place: 'policies/**/*.test.yaml', schema: testsSchema },
]

/** The JSON schema (draft 2020-12) of what a person writes, before defaults and units are applied. */
function jsonSchema(source: Source): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(source.schema, { io: 'input', target: 'draft-2020-12' })
  // The keyword types of JSON Schema are wider than the reference needs; JsonSchema names those it reads.
  return { $schema, title: source.title, ...rest } as JsonSchema
}

const monitoring = await monitoringFiles()

/** Content of every generated file, by path relative to the repository. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const described = sources.map((source) => ({ ...source, json: jsonSchema(source) }))
  return new Map([
    ...described.map(({ name, json }) => {
      const schema = completeSchema(json, { variables: name === 'gateway' })
      return [`config/schemas/${name}.schema.json`, `${JSON.stringify(schema, null, 2)}\n`] as const
    }),
    ['docs/configuration.md', configurationReference(described)] as const,
    ['src/README.md', mapOfTheCode()] as const,
    ...monitoring,
  ])
}

const repository = path.resolve(import.meta.dirname, '..')
const marks = ['<!-- generated: import tables -->\n\n', '\n\n<!-- end of generated -->'] as const

/** The map with its import tables as they are now. */
function mapOfTheCode(): string {
  const text = readFileSync(path.join(repository, 'src/README.md'), 'utf8')
  const start = text.indexOf(marks[0])
  const end = text.indexOf(marks[1], start)
  if (start === -1 || end === -1) throw new Error('src/README.md has no place for the import tables')
  return text.slice(0, start) + marks[0] + importTables() + text.slice(end)
}

/** Paths of generated files that are absent below the folder or differ from what they are derived from. */
export function outdatedFiles(root = repository): readonly string[] {
  return [...generatedFiles()]
    .filter(([file, content]) => readText(path.join(root, file)) !== content)
    .map(([file]) => file)
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}

function main(args: readonly string[]): number {
  const outdated = outdatedFiles()
  if (args.includes('--check')) {
    for (const file of outdated) process.stderr.write(`${file} is out of date: run npm run generate\n`)
    return outdated.length > 0 ? 1 : 0
  }
  const contents = generatedFiles()
  for (const file of outdated) {
    mkdirSync(path.dirname(path.join(repository, file)), { recursive: true })
    writeFileSync(path.join(repository, file), contents.get(file) ?? '')
    process.stdout.write(`wrote ${file}\n`)
  }
  return 0
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
