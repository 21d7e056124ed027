// Colour for people: only on a terminal, and not when NO_COLOR is set.

import { styleText } from 'node:util'
import { visibleLines } from '../records/visible.ts'

type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold'

/** What a painter writes; no other code is ours. */
const ownCodes = new RegExp(String.raw`(\x1b\[(?:1|2|22|31|32|33|39)m)`)

/** Text for people: characters that are not seen are written as escapes, but for the colours of a painter. */
export function forPeople(text: string): string {
  const parts = text.split(ownCodes)
  return parts.map((part, at) => (at % 2 === 1 ? part : visibleLines(part))).join('')
}

export type Painter = (colour: Colour, text: string) => string

/** A painter for one stream; on anything but a terminal it leaves text as it is. */
export function painter(stream: NodeJS.WritableStream, env: Readonly<Record<string, string | undefined>>): Painter {
  const colourful = 'isTTY' in stream && stream.isTTY === true && env['NO_COLOR'] === undefined
  return (colour, text) => (colourful ? styleText(colour, text, { validateStream: false }) : text)
}
