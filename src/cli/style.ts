// Colour for people: only on a terminal, and not when NO_COLOR is set.

import { styleText } from 'node:util'
import { visibleLines } from '../records/visible.ts'

type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold'

/** What a painter writes; no other code is ours. */
const ownCodes = new RegExp(String.raw`(\x1b\[(?:1|2|22|31|32|33|39)m)`)

/** Lines for people: characters that are not seen are written as escapes, but for the colours of a painter. */
export function forPeople(text: string): string {
  const parts = text.split(ownCodes)
  return parts.map((part, at) => (at % 2 === 1 ? part : visibleLines(part))).join('')
}

/** The same for one line, on a stream that shows colours or not: no value in it can begin another line. */
export function lineForPeople(text: string, colourful: boolean): string {
  return (colourful ? forPeople(text) : visibleLines(text)).replaceAll('\n', String.raw`\u000a`)
}

export function isColourful(stream: NodeJS.WritableStream, env: Readonly<Record<string, string | undefined>>): boolean {
  return 'isTTY' in stream && stream.isTTY === true && env['NO_COLOR'] === undefined
}

export type Painter = (colour: Colour, text: string) => string

/** A painter for one stream; on anything but a terminal it leaves text as it is. */
export function painter(stream: NodeJS.WritableStream, env: Readonly<Record<string, string | undefined>>): Painter {
  const colourful = isColourful(stream, env)
  return (colour, text) => (colourful ? styleText(colour, text, { validateStream: false }) : text)
}
