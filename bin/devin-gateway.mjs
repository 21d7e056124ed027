#!/usr/bin/env node
// Plain JavaScript on purpose: an old runtime must reach the sentence below instead of a syntax error.
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'

const [major] = process.versions.node.split('.').map(Number)
// A checkout runs its TypeScript as it is; the published package holds the compiled form.
const source = new URL('../src/main.ts', import.meta.url)
const isCheckout = existsSync(source)
if (major < 24) {
  console.error(
    `devin-gateway needs Node.js 24 or newer, and this is ${process.versions.node}. ` +
      (isCheckout
        ? 'Run it through npm (`npm start`, `npx devin-gateway …`), which brings its own Node.js 24, or install Node.js 24.'
        : 'Install Node.js 24. On Linux and Windows `npm install node@24` beside this package is enough: npx then uses it.'),
  )
  process.exit(2)
}

// Stripping types and compiling take half of a start. What came of them is kept beside the code, never in a directory that
// others may write: whoever changes it changes what runs. Where nothing can be written, or NODE_COMPILE_CACHE says
// otherwise, this does nothing.
module.enableCompileCache?.(fileURLToPath(new URL('../node_modules/.cache/devin-gateway', import.meta.url)))

await import(isCheckout ? source.href : new URL('../dist/main.js', import.meta.url).href)
