// The files of the console for browsers: read once, compressed once beside the requests, and served from memory.

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { askedPath, type AccessRequest } from '../access/request.ts'

export interface ConsolePage {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** What the browser says that matters here. */
export interface ConsoleRequest {
  /** Without the query. */
  readonly path: string
  readonly acceptsGzip: boolean
  /** The tag of what the browser has. */
  readonly known: string | null
}

interface File {
  readonly type: string
  readonly tag: string
  readonly plain: Buffer
  readonly zipped: Buffer
}

const base = '/console/'
const folder = join(import.meta.dirname, '../../console')

/** Modules of packages, by the name that sources import. A browser knows no packages, so names are replaced by these addresses. */
const packages: Readonly<Record<string, { readonly address: string; readonly file: string }>> = {
  preact: { address: 'lib/preact.js', file: 'preact.mjs' },
  'preact/hooks': { address: 'lib/hooks.js', file: 'hooks.mjs' },
  htm: { address: 'lib/htm.js', file: 'htm.mjs' },
  'htm/preact': { address: 'lib/htm-preact.js', file: 'index.mjs' },
  uplot: { address: 'lib/uplot.js', file: 'uPlot.esm.js' },
}

/** Nothing but what comes from this listener, and no code or style within the page itself. */
export const consolePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

const compress = promisify(gzip)

let files: Promise<ReadonlyMap<string, File>> | null = null

/** Reads the files when nobody waits for them. Where that fails, the first request for one tries again. */
export async function prepareConsole(): Promise<void> {
  await ready().catch(() => {})
}

function ready(): Promise<ReadonlyMap<string, File>> {
  files ??= readConsole().catch((error: unknown) => {
    files = null
    throw error
  })
  return files
}

export function isConsolePath(path: string): boolean {
  return path === '/console' || path.startsWith(base)
}

/** Of Node.js. */
export function consoleRequestOf({ target, headers }: Pick<AccessRequest, 'target' | 'headers'>): ConsoleRequest {
  return {
    path: askedPath({ target }),
    acceptsGzip: /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/.test(String(headers['accept-encoding'] ?? '')),
    known: headers['if-none-match'] ?? null,
  }
}

/** The page or file at a path of the console. */
export async function consolePage({ path, acceptsGzip, known }: ConsoleRequest): Promise<ConsolePage> {
  if (path === '/console') return { status: 308, headers: { location: base }, body: Buffer.alloc(0) }
  const all = await ready()
  const name = path.slice(base.length)
  // Views have addresses of their own, and all are the same page. Names of teams may hold a dot.
  const isFile = name.startsWith('lib/') || name.startsWith('views/') || /^[\w-]+\.\w+$/.test(name)
  const file = all.get(name) ?? (isFile ? undefined : all.get('index.html'))
  if (file === undefined) {
    const body = Buffer.from(JSON.stringify({ error: 'The console has no such file. Open /console/.' }))
    return { status: 404, headers: { 'content-type': 'application/json; charset=utf-8' }, body }
  }
  const headers = {
    'content-security-policy': consolePolicy,
    'content-type': file.type,
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    // Asked again each time, so that files of two versions are never mixed.
    'cache-control': 'no-cache',
    etag: file.tag,
    vary: 'accept-encoding',
  }
  if (known === file.tag) return { status: 304, headers, body: Buffer.alloc(0) }
  return acceptsGzip
    ? { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body: file.zipped }
    : { status: 200, headers, body: file.plain }
}

/** Names and compressed sizes of all files. */
export async function consoleFiles(): Promise<ReadonlyMap<string, number>> {
  return new Map([...(await ready())].map(([name, { zipped }]) => [name, zipped.length]))
}

async function readConsole(): Promise<ReadonlyMap<string, File>> {
  const own = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.(?:js|css|html)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1).replaceAll('\\', '/'))
  const places = [
    ...own.map((name) => [name, join(folder, name)] as const),
    ...Object.entries(packages).map(([name, { address, file }]) => [address, besideEntry(name, file)] as const),
    ['lib/uplot.css', besideEntry('uplot', 'uPlot.min.css')] as const,
  ]
  const texts = new Map(
    await Promise.all(places.map(async ([name, file]) => [name, await readFile(file, 'utf8')] as const)),
  )
  const modules = [...texts.keys()].filter((name) => name.endsWith('.js'))
  const preloads = modules.map((name) => `<link rel="modulepreload" href="${base}${name}">`).join('\n')
  return new Map(
    await Promise.all(
      [...texts].map(async ([name, text]) => {
        const served = name.endsWith('.js') ? withAddresses(text) : text.replace('<!-- modules -->', preloads)
        return [name, await fileOf(name, served)] as const
      }),
    ),
  )
}

/** A file in the folder of what Node.js would load: packages name their modules for browsers in ways of their own. */
function besideEntry(name: string, file: string): string {
  return join(dirname(createRequire(import.meta.url).resolve(name)), file)
}

function withAddresses(text: string): string {
  const withoutMap = text.replace(/^\/\/# sourceMappingURL=.*$/gm, '')
  return withoutMap.replace(
    /(?<before>\bfrom\s*|\bimport\s*)(?<quote>["'])(?<name>[a-z][\w./-]*)\k<quote>/g,
    (whole: string, before: string, _quote: string, name: string) => {
      const found = packages[name]
      return found === undefined ? whole : `${before}"${base}${found.address}"`
    },
  )
}

async function fileOf(name: string, text: string): Promise<File> {
  const plain = Buffer.from(text)
  const types: Readonly<Record<string, string>> = {
    '.js': 'text/javascript; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
  }
  return {
    type: types[posix.extname(name)] ?? 'application/octet-stream',
    tag: `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`,
    plain,
    zipped: await compress(plain, { level: 9 }),
  }
}
