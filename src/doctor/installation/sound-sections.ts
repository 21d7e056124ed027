// The sections of a broken config/gateway.yaml that are well-formed, for whoever wants to go on with them.

import path from 'node:path'
import { gatewaySchema, type GatewayDocument } from '../../config/schema.ts'
import { resolveConfig, type Config } from '../../config/load.ts'
import { readText } from '../../config/values/files.ts'
import { readYaml, type PositionOf } from '../../config/yaml/document.ts'

export interface SoundSections {
  /** Whole, but what it says of broken sections means nothing. */
  readonly config: Config
  /** Names of sections that are not as they should be, or name files that cannot be used. */
  readonly broken: ReadonlySet<string>
  readonly positionOf: PositionOf
}

/** In place of sections that have no default. */
const placeholders: Readonly<Record<string, unknown>> = {
  upstream: { origin: 'https://unknown.invalid' },
  issuers: [{ issuer: 'https://unknown.invalid', audience: 'unknown' }],
}

/** Null where the file cannot be read, or is no mapping. Says nothing of what is wrong: `loadConfig` does. */
export async function readSoundSections(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<SoundSections | null> {
  const text = await readText(file)
  if ('error' in text) return null
  const read = readYaml({ file, text: text.value, schema: gatewaySchema, holds: '', env })
  const broken = new Set<string>()
  const document = read.ok ? read.value : soundDocument(read.written, broken)
  if (document === null) return null
  const note = (at: readonly (string | number)[]): void => void broken.add(String(at[0]))
  // A secret or certificate that is missing here says nothing against the rest; without its authorities others would be trusted.
  const noteRead = (at: readonly (string | number)[], _message: string, outOfReach: boolean): void => {
    if (!outOfReach || at.at(-1) === 'ca') note(at)
  }
  const config = await resolveConfig(document, path.resolve(file), env, note, noteRead)
  return { config, broken, positionOf: read.positionOf }
}

function soundDocument(written: unknown, broken: Set<string>): GatewayDocument | null {
  if (typeof written !== 'object' || written === null || Array.isArray(written)) return null
  const sections = Object.entries(gatewaySchema.shape).map(([name, schema]): [string, unknown] => {
    const own: unknown = Object.hasOwn(written, name) ? Reflect.get(written, name) : undefined
    const parsed = schema.safeParse(own)
    if (parsed.success) return [name, parsed.data]
    broken.add(name)
    return [name, schema.safeParse(placeholders[name]).data]
  })
  // Each section has passed its own part of the schema.
  return Object.fromEntries(sections) as GatewayDocument
}
