// Notes in dist/ from which commit the package is built; the published package has no Git data. Without Git it notes nothing.

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
try {
  const commit = execFileSync('git', ['-C', root, 'rev-parse', 'HEAD'], { encoding: 'utf8' })
  writeFileSync(path.join(root, 'dist/commit.txt'), commit)
} catch {
  process.stderr.write('the commit is not known: this is no Git checkout\n')
}
