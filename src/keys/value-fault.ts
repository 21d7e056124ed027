// What is wrong with a text that should be the value of a key: in words, never with any part of it. Pure.

import { isKeyValue } from './secret.ts'

/** Why a text is no value of a service-user key and what to do, as the end of a sentence; null for one that is. */
export function valueFault(text: string): string | null {
  if (isKeyValue(text)) return null
  return faults.find(([holds]) => holds(text))?.[1] ?? form
}

const form = 'it must be cog_ followed by letters, digits and . _ ~ + / = -'
const inQuotes = /^(?:(["'`])[^]*\1|[\u201C\u201E\u2018\u201A\u00AB][^]*[\u201D\u201C\u2019\u2018\u00BB])$/
/** Characters without any shape, which come along when text is copied. */
const unseen = /[\u00AD\u200B-\u200F\u202A-\u202E\u2060-\u2064\uFEFF]/

/** From the most particular to the least; what stands around a value is named before what is inside. */
const faults: readonly (readonly [holds: (text: string) => boolean, fault: string])[] = [
  [(text) => text.startsWith('\uFEFF'), 'it begins with a byte order mark; save it as UTF-8 without one'],
  [(text) => /[\uFFFD\0]/.test(text), 'it is not UTF-8 text; save it as UTF-8'],
  [(text) => /^\s*$/.test(text), 'it holds nothing but white space; put the key in'],
  [(text) => inQuotes.test(text.trim()), 'it stands in quotes; remove them'],
  [(text) => /\S\s*[\r\n]\s*\S/.test(text), 'it has a second line; keep the key alone, in one line'],
  [(text) => /[\r\n]\s*$/.test(text), 'it ends with an empty line; keep the key alone, in one line'],
  [(text) => /^\s/.test(text), 'it begins with white space; remove it'],
  [(text) => /\s$/.test(text), 'it ends with white space; remove it'],
  [(text) => unseen.test(text), 'it holds a character that cannot be seen; type the key, or copy it anew'],
  [(text) => /^[{[][^]*[}\]]$/.test(text), 'it is a JSON document; keep the key alone'],
  [(text) => /^authorization:/i.test(text), 'it begins with "Authorization:"; keep the key alone'],
  [(text) => /^bearer\s/i.test(text), 'it begins with "Bearer"; keep the key alone'],
  [isEncoded, 'it is encoded in Base64; put the decoded key in'],
  [(text) => /^(?:export )?[A-Za-z_]\w*=/.test(text), 'it begins with a name and "="; keep the key alone'],
  [(text) => /^["']?[A-Za-z_][\w-]*["']?:\s*\S/.test(text), 'it begins with a name and ":"; keep the key alone'],
  [
    (text) => text.startsWith('apk_'),
    'it is an older API key (apk_…); create a service user at Devin, whose key begins with cog_',
  ],
  [(text) => text === 'cog_', 'it ends behind "cog_"; put the whole key in'],
  [(text) => text.startsWith('${') || text.startsWith('<'), 'it is a placeholder; put the key in'],
  [(text) => /\s/.test(text), 'it holds white space; remove it'],
]

function isEncoded(text: string): boolean {
  return /^[A-Za-z0-9+/]+=*$/.test(text) && isKeyValue(Buffer.from(text, 'base64').toString('latin1').trim())
}
