// Request bodies: read, parsed as JSON and checked against the members the API reference documents. Breaches become one
// 422 list, as FastAPI gives it. Uploads do not pass through here; they are streamed.

import type { IncomingMessage } from 'node:http'
import type { BodyMember, OperationEntry } from '../../../catalogue/data.ts'
import { ApiError, invalid, missing, type ValidationIssue, wrong } from './answers.ts'
import { isItem, type Item } from '../state/item.ts'

/** Far above any documented body; the limit only keeps a mistake from filling the memory. */
const MAX_JSON_BYTES = 32 * 1024 * 1024

/** Whether the operation takes a multipart upload, which handlers read themselves. */
export function isUpload(operation: OperationEntry): boolean {
  return operation.body.some((member) => member.type.startsWith('binary'))
}

/** The checked JSON object of a request; an empty one when the operation has no body. Throws 413 and 422. */
export async function readBody(request: IncomingMessage, operation: OperationEntry): Promise<Item> {
  const bytes = await readBytes(request)
  if (operation.body.length === 0) return {}
  if (bytes.length === 0) {
    if (operation.body.some((member) => member.required)) {
      throw missing('body')
    }
    return {}
  }
  const body = parseJson(bytes)
  if (!isItem(body)) throw wrong(['body'], 'Input should be a valid dictionary', 'dict_type')
  const issues = operation.body.flatMap((member) => checkMember(member, body[member.name]))
  if (issues.length > 0) throw invalid(issues)
  return body
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_JSON_BYTES) throw new ApiError(413, 'Body too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw wrong(['body', 0], 'JSON decode error', 'json_invalid')
  }
}

function checkMember(member: BodyMember, value: unknown): ValidationIssue[] {
  if (value === undefined || value === null) {
    const absent = value === undefined && member.required
    const refusedNull = value === null && member.required && !member.type.includes('|null')
    if (!absent && !refusedNull) return []
    return [{ loc: ['body', member.name], msg: 'Field required', type: 'missing' }]
  }
  return checkType(member.type, value, ['body', member.name])
}

/**
 * Checks a value against a documented type: `string(1..256)`, `integer|null`, `enum(a|b)`, `{key:string}[]`, a remark in
 * brackets at the end. `any` is not known any closer; types that are only named (`GitPermissionCreateRequest`) are taken as objects.
 */
export function checkType(type: string, value: unknown, loc: ValidationIssue['loc']): ValidationIssue[] {
  const issue = (msg: string, kind: string): ValidationIssue[] => [{ loc, msg, type: kind }]
  const remark = / \(([^)]*)\)$/.exec(type)?.[1] ?? ''
  const bare = type
    .replace(/ \([^)]*\)$/, '')
    .replace(/\|null$/, '')
    .replace(/=\w+$/, '')
  if (bare.endsWith('[]')) return checkList(bare.slice(0, -2), remark, value, loc)
  if (bare.startsWith('{')) return checkObject(bare, value, loc)
  const [least, most] = bounds(type)
  switch (/^[a-z]+/.exec(bare)?.[0]) {
    case 'string':
      if (typeof value !== 'string') return issue('Input should be a valid string', 'string_type')
      if (value.length > most) return issue(`String should have at most ${most} characters`, 'string_too_long')
      return value.length < least ? issue(`String should have at least ${least} characters`, 'string_too_short') : []
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value))
        return issue('Input should be a valid integer', 'int_type')
      return value < least || value > most ? issue(`Input should be from ${least} to ${most}`, 'out_of_range') : []
    case 'any':
      return []
    case 'boolean':
      return typeof value === 'boolean' ? [] : issue('Input should be a valid boolean', 'bool_type')
    case 'enum': {
      const words = (/\(([^)]*)\)/.exec(bare)?.[1] ?? '').split('|')
      const known = typeof value === 'string' && (words.includes(value) || words.includes('...'))
      return known ? [] : issue(`Input should be ${words.map((word) => `'${word}'`).join(' or ')}`, 'enum')
    }
    default:
      if (!isItem(value)) return issue('Input should be a valid dictionary', 'dict_type')
      return JSON.stringify(value).length > kilobytes(remark) * 1024
        ? issue(`Object is larger than ${remark}`, 'too_long')
        : []
  }
}

function checkList(inner: string, remark: string, value: unknown, loc: ValidationIssue['loc']): ValidationIssue[] {
  if (!Array.isArray(value)) return [{ loc, msg: 'Input should be a valid list', type: 'list_type' }]
  const most = Number(/max (\d+)/.exec(remark)?.[1] ?? Infinity)
  if (value.length > most) return [{ loc, msg: `List should have at most ${most} items`, type: 'too_long' }]
  const longest = /(\d+) chars/.exec(remark)?.[1]
  const type = longest === undefined ? inner : `string(0..${longest})`
  return value.flatMap((entry, index) => checkType(type, entry, [...loc, index]))
}

/** `string(1..256)`, `integer (1..31536000)`, `string(<=65536)`. */
function bounds(type: string): [least: number, most: number] {
  const range = /\((\d+)\.\.(\d+)\)/.exec(type)
  if (range !== null) return [Number(range[1]), Number(range[2])]
  const most = /\(<=(\d+)\)/.exec(type)
  return [-Infinity, most === null ? Infinity : Number(most[1])]
}

function kilobytes(remark: string): number {
  return Number(/<=(\d+) KB/.exec(remark)?.[1] ?? Infinity)
}

/** `{key:string(1..256),value:string(<=65536),sensitive:boolean=true}`: members with a default may be absent. */
function checkObject(type: string, value: unknown, loc: ValidationIssue['loc']): ValidationIssue[] {
  if (!isItem(value)) return [{ loc, msg: 'Input should be a valid dictionary', type: 'dict_type' }]
  const members = type.slice(1, type.lastIndexOf('}')).split(',')
  return members.flatMap((member) => {
    const [name = '', kind = 'object'] = member.split(':', 2)
    const given = value[name]
    if (given === undefined || given === null) {
      return /=\w+$/.test(kind) || kind.includes('|null')
        ? []
        : [{ loc: [...loc, name], msg: 'Field required', type: 'missing' }]
    }
    return checkType(kind, given, [...loc, name])
  })
}
