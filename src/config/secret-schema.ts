// References to secrets: where a value is kept, never the value. Shape, validator, and the paths in them made absolute.

import path from 'node:path'
import { z } from 'zod'
import { duration, oneKeyOf, text } from './fields.ts'

/** Where a secret's value comes from. A file is an absolute path. */
export type SecretReference = LocalReference | { readonly exec: ExecReference }

/** A secret that this machine holds. */
export type LocalReference = { readonly env: string } | { readonly file: string }

/** A program that prints the value. */
export interface ExecReference {
  /** The program and its arguments; no shell reads them. */
  readonly command: readonly string[]
  readonly timeoutMs: number
  /** Names of environment variables that the program gets beside the usual ones. */
  readonly env: readonly string[]
  readonly refreshMs: number
}

const variableName = () =>
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable, without "$"')

const filePath = () => text().regex(/^(?!~)/, '"~" is not replaced: write the whole path')

/** How often a source is asked whether the value is another one. */
const refresh = (usual: string) =>
  duration('1s', '24h')
    .prefault(usual)
    .describe('How often the value is read again, besides at a reload and after a rejection.')

const localSources = {
  env: variableName().optional().describe('Environment variable that holds the value.'),
  file: filePath()
    .optional()
    .describe('File that holds the value, relative to this file; one final line break is dropped.'),
}

const exec = z
  .strictObject({
    command: z
      .array(z.string().regex(/^[^\0]*$/, 'must not hold a NUL character'))
      .min(1, 'name the program')
      .refine(([program]) => program !== '', { error: 'name the program', path: [0] })
      .describe(
        'Program and arguments; no shell reads them. A program without "/" is looked for on PATH; a relative path is relative to this file.',
      ),
    timeout: duration('10ms', '30s')
      .prefault('5s')
      .describe('How long the program may take; then it is killed with its children.'),
    env: z
      .array(variableName())
      .default([])
      .describe('Environment variables that the program gets beside PATH, HOME, USER, LANG, LC_ALL, TZ and TMPDIR.'),
    refresh: refresh('1m'),
  })
  .transform(({ command, timeout, env, refresh: refreshMs }): ExecReference => ({
    command,
    timeoutMs: timeout,
    env,
    refreshMs,
  }))

const secretSources = {
  ...localSources,
  exec: exec.optional().describe('Program that prints the value on standard output; one final line break is dropped.'),
}
const kinds = Object.keys(secretSources)

/** A reference with exactly one source. `forms`: how to write it, in messages. */
export function secretReference(forms: string, inline: string) {
  return (
    z
      .strictObject(
        secretSources,
        // The value that stands here instead of a reference is never repeated.
        { error: (issue) => (typeof issue.input === 'string' ? inline : undefined) },
      )
      .refine((written) => Object.values(written).filter((source) => source !== undefined).length === 1, {
        error: `a secret has exactly one source: ${forms}`,
      })
      .meta(oneKeyOf(...kinds))
      // Exactly one is there.
      .transform((written) => written as unknown as SecretReference)
  )
}

/** The reference with its relative paths read from a folder. */
export function withPathsFrom(folder: string, reference: SecretReference): SecretReference {
  if ('file' in reference) return { file: path.resolve(folder, reference.file) }
  if ('exec' in reference) {
    const [program = '', ...rest] = reference.exec.command
    const found = program.includes('/') ? path.resolve(folder, program) : program
    return { exec: { ...reference.exec, command: [found, ...rest] } }
  }
  return reference
}
