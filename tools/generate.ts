// Writes what is derived from the validators: a JSON schema for each file that people write, and the configuration
// reference. `node tools/generate.ts` writes, `--check` only compares and exits 1 when a file differs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { extensionSchema } from '../src/catalogue/extension.ts'
import { gatewaySchema } from '../src/config/schema.ts'
import { gatewayLimitsSchema } from '../src/policy/documents/gateway-limits-document.ts'
import { devinUsersSchema } from '../src/policy/documents/devin-user-document.ts'
import { guardrailsSchema } from '../src/policy/documents/guardrail-document.ts'
import { keysSchema } from '../src/policy/documents/key-document.ts'
import { teamSchema } from '../src/policy/documents/team-document.ts'
import { testsSchema } from '../src/policy/documents/test-document.ts'
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
  { name: 'devin-users', title: 'Users of Devin', place: 'policies/devin-users.yaml', schema: devinUsersSchema },
  { name: 'tests', title: 'Policy tests', place: 'policies/**/*.test.yaml', schema: testsSchema },
]

/** The JSON schema (draft 2020-12) of what a person writes, before defaults and units are applied. */
function jsonSchema(source: Source): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(source.schema, { io: 'input', target: 'draft-2020-12' })
  // The keyword types of JSON Schema are wider than the reference needs; JsonSchema names those it reads.
  return { $schema, title: source.title, ...rest } as JsonSchema
}

/** Content of every generated file, by path relative to the repository. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const described = sources.map((source) => ({ ...source, json: jsonSchema(source) }))
  return new Map([
    ...described.map(
      ({ name, json }) => [`config/schemas/${name}.schema.json`, `${JSON.stringify(json, null, 2)}\n`] as const,
    ),
    ['docs/configuration.md', configurationReference(described)] as const,
  ])
}

const repository = path.resolve(import.meta.dirname, '..')

/** Paths of generated files that are absent below the folder or differ from what the validators say now. */
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
    for (const file of outdated) process.stderr.write(`${file} differs from the validators: run npm run generate\n`)
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
