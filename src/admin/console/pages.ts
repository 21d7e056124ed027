// The files of the console for browsers: read once, compressed once, and served from memory.

import type { IncomingMessage } from 'node:http'
import { readdirSync, readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { gzipSync } from 'node:zlib'

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

let files: ReadonlyMap<string, File> | null = null

export function isConsolePath(path: string): boolean {
  return path === '/console' || path.startsWith(base)
}

/** Of Node.js. */
export function consoleRequestOf(request: Pick<IncomingMessage, 'url' | 'headers'>): ConsoleRequest {
  const { url = '', headers } = request
  return {
    path: url.split('?', 1)[0] ?? '',
    acceptsGzip: /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/.test(String(headers['accept-encoding'] ?? '')),
    known: headers['if-none-match'] ?? null,
  }
}

/** The page or file at a path of the console. */
export function consolePage({ path, acceptsGzip, known }: ConsoleRequest): ConsolePage {
  if (path === '/console') return { status: 308, headers: { location: base }, body: Buffer.alloc(0) }
  files ??= readConsole()
  const name = path.slice(base.length)
  // Views have addresses of their own, and all are the same page. Names of teams may hold a dot.
  const isFile = name.startsWith('lib/') || name.startsWith('views/') || /^[\w-]+\.\w+$/.test(name)
  const file = files.get(name) ?? (isFile ? undefined : files.get('index.html'))
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
export function consoleFiles(): ReadonlyMap<string, number> {
  files ??= readConsole()
  return new Map([...files].map(([name, { zipped }]) => [name, zipped.length]))
}

function readConsole(): ReadonlyMap<string, File> {
  const own = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:js|css|html)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1).replaceAll('\\', '/'))
  const texts = new Map([
    ...own.map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const),
    ...Object.entries(packages).map(
      ([name, { address, file }]) => [address, readFileSync(besideEntry(name, file), 'utf8')] as const,
    ),
    ['lib/uplot.css', readFileSync(besideEntry('uplot', 'uPlot.min.css'), 'utf8')] as const,
  ])
  const modules = [...texts.keys()].filter((name) => name.endsWith('.js'))
  const preloads = modules.map((name) => `<link rel="modulepreload" href="${base}${name}">`).join('\n')
  return new Map(
    [...texts].map(([name, text]) => {
      const served = name.endsWith('.js') ? withAddresses(text) : text.replace('<!-- modules -->', preloads)
      return [name, fileOf(name, served)]
    }),
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

function fileOf(name: string, text: string): File {
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
    zipped: gzipSync(plain, { level: 9 }),
  }
}
