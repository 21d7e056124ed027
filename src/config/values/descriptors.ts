// How many files and connections this process may have open.

let known: number | undefined

/** `Infinity` where the system has no such limit. */
export function descriptorLimit(): number {
  return (known ??= readLimit())
}

function readLimit(): number {
  // Looking up the names of interfaces would take long, and nobody asks for them.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const limit = report.userLimits?.open_files?.soft
  return typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY
}
