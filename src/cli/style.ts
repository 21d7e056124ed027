// Colour for people: only on a terminal, and not when NO_COLOR is set.

import { styleText } from 'node:util'

type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold'

/** A painter for one stream; on anything but a terminal it leaves text as it is. */
export function painter(
  stream: NodeJS.WritableStream,
  env: Readonly<Record<string, string | undefined>>,
): (colour: Colour, text: string) => string {
  const colourful = 'isTTY' in stream && stream.isTTY === true && env['NO_COLOR'] === undefined
  return (colour, text) => (colourful ? styleText(colour, text, { validateStream: false }) : text)
}
