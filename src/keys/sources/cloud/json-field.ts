// A field of a JSON object that is kept as the text of one secret, as consoles of clouds write several values.

import { parseObject } from '../../../json/untyped.ts'
import { didYouMean } from '../../../config/nearest.ts'
import { isShowable, keepNumber } from '../json-text.ts'

/** The text of a field, or why there is none, as the end of a sentence. */
export function fieldOf(text: string, field: string): { readonly text: string } | { readonly fault: string } {
  const object = parseObject(text, keepNumber)
  if (object === null) return { fault: `it is no JSON object, and \`field\` names a member of one` }
  if (!Object.hasOwn(object, field))
    return { fault: `the object has no such field${didYouMean(field, Object.keys(object).filter(isShowable))}` }
  const value = object[field]
  return typeof value === 'string' ? { text: value } : { fault: 'the field is no text' }
}

/** The object with another text in a field, all others as they were; null where the text is no object. */
export function withField(text: string, field: string, value: string): string | null {
  const object = parseObject(text, keepNumber)
  return object === null ? null : JSON.stringify({ ...object, [field]: value })
}
