// What an examination has found: one thing that is as it should be, or a sentence what is wrong and another what to do.

export type Area =
  | 'configuration'
  | 'versions'
  | 'files'
  | 'disk'
  | 'setup'
  | 'issuer'
  | 'upstream'
  | 'key'
  | 'store'
  | 'collector'
  | 'checkpoints'
  | 'gateway'
  | 'outside'
  | 'clock'

/** `error`: something does not work, or is open to others. `warning`: it may. `skipped`: it could not be examined. */
export type FindingStatus = 'ok' | 'warning' | 'error' | 'skipped'

export interface Finding {
  /** Stable, like `store.eviction`: the area, and what of it. */
  readonly id: string
  readonly status: FindingStatus
  /** What it is about: an address, a file, a key; null for the machine or the whole. */
  readonly about: string | null
  /** One or two sentences. */
  readonly message: string
  /** What to do, as a sentence; null where there is nothing to do. */
  readonly action: string | null
  /** Where it is written; null where no file says it. */
  readonly place: FindingPlace | null
}

export interface FindingPlace {
  readonly file: string
  /** 1-based; 0 for the file as a whole. */
  readonly line: number
  readonly column: number
}

/** Collects the findings of one examination, in order. Those of an examination that never ends are kept as well. */
export class Findings {
  readonly list: Finding[] = []
  readonly area: Area
  readonly about: string | null

  constructor(area: Area, about: string | null) {
    this.area = area
    this.about = about
  }

  ok(what: string, message: string, about = this.about): void {
    this.#add('ok', what, message, null, about, null)
  }

  warning(what: string, message: string, action: string, about = this.about, place: FindingPlace | null = null): void {
    this.#add('warning', what, message, action, about, place)
  }

  error(what: string, message: string, action: string, about = this.about, place: FindingPlace | null = null): void {
    this.#add('error', what, message, action, about, place)
  }

  skipped(what: string, message: string, action: string | null = null, about = this.about): void {
    this.#add('skipped', what, message, action, about, null)
  }

  #add(
    status: FindingStatus,
    what: string,
    message: string,
    action: string | null,
    about: string | null,
    place: FindingPlace | null,
  ): void {
    this.list.push({ id: `${this.area}.${what}`, status, about, message, action, place })
  }
}
