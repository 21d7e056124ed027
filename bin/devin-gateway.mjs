#!/usr/bin/env node
// Plain JavaScript on purpose: an old runtime must reach the sentence below instead of a syntax error.
import { existsSync } from 'node:fs'

const [major] = process.versions.node.split('.').map(Number)
if (major < 24) {
  console.error(
    `devin-gateway needs Node.js 24 or newer, and this is ${process.versions.node}. ` +
      'Run it through npm (`npm start`, `npx devin-gateway …`), which brings its own Node.js 24, or install Node.js 24.',
  )
  process.exit(2)
}

// A checkout runs its TypeScript as it is; the published package holds the compiled form.
const source = new URL('../src/main.ts', import.meta.url)
await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href)
