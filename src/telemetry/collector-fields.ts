// Header fields that the collector wants, such as credentials. Their values are secrets, read again where they are kept.

/** One field. `read` throws an error that holds nothing of the value. */
export interface CollectorField {
  readonly name: string
  readonly read: () => Promise<string>
  /** A value is read again after so long. */
  readonly everyMs: number
}

interface KnownValue {
  readonly value: string
  readonly readAtMs: number
}

/** What a value may hold on one line of a request. */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** A place is not asked more often because of refusals. */
const refusedAgainMs = 10_000

export type CollectorFields = ReturnType<typeof createCollectorFields>

export function createCollectorFields(fields: readonly CollectorField[], monotonic: () => number) {
  const known = new Map<string, KnownValue>()

  async function valueOf({ name, read, everyMs }: CollectorField): Promise<string> {
    const before = known.get(name)
    const nowMs = monotonic()
    if (before !== undefined && nowMs - before.readAtMs < everyMs) return before.value
    try {
      const value = await read()
      if (!fieldValue.test(value))
        throw new Error(`the value of the header field ${name} has characters that none may have`)
      known.set(name, { value, readAtMs: nowMs })
      return value
    } catch (error) {
      if (before === undefined) throw error
      // A place that is away for a moment: the value from before counts until it is back.
      known.set(name, { ...before, readAtMs: nowMs })
      return before.value
    }
  }

  return {
    /** The fields by name. Throws where a value was never read. */
    async current(): Promise<Record<string, string>> {
      const values = await Promise.all(fields.map(async (field) => [field.name, await valueOf(field)] as const))
      return Object.fromEntries(values)
    },
    /** The collector does not accept them: they are read again, unless that was done a moment ago. */
    refused(): void {
      const nowMs = monotonic()
      for (const [name, { value, readAtMs }] of known)
        if (nowMs - readAtMs > refusedAgainMs) known.set(name, { value, readAtMs: -Infinity })
    },
  }
}
