// The metrics of several workers as one text in the Prometheus format: every sample with the worker it is from. Pure.

/** Metrics stay together, as the format wants it, in the order of the first worker that has them. */
export function mergeMetrics(texts: readonly { readonly worker: number; readonly text: string }[]): string {
  const families = new Map<string, { readonly head: string[]; readonly samples: string[] }>()
  for (const { worker, text } of texts) {
    let family = familyOf(families, '')
    let isNew = true
    for (const line of text.split('\n')) {
      if (line === '' || line === '# EOF') continue
      if (!line.startsWith('#')) {
        family.samples.push(withLabel(line, worker))
        continue
      }
      const [, word, name = ''] = line.split(' ', 3)
      if (word === 'HELP') {
        isNew = !families.has(name)
        family = familyOf(families, name)
      }
      if (isNew) family.head.push(line)
    }
  }
  return [...families.values()].map(({ head, samples }) => [...head, ...samples, ''].join('\n')).join('\n')
}

type Families = Map<string, { readonly head: string[]; readonly samples: string[] }>

function familyOf(families: Families, name: string) {
  const family = families.get(name) ?? { head: [], samples: [] }
  if (name !== '') families.set(name, family)
  return family
}

/** `name 1` and `name{a="b"} 1`: label values may hold anything, so only the beginning is looked at. */
function withLabel(sample: string, worker: number): string {
  const label = `worker="${worker}"`
  return sample.replace(/^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?/, (_, name: string, brace: string | undefined) =>
    brace === undefined ? `${name}{${label}}` : `${name}{${label},`,
  )
}
