// How requests of a team are ordered beside those of other teams.

/** How a team stands in the queue before the upstream. */
export interface Precedence {
  readonly team: string
  readonly priority: 'high' | 'normal' | 'low'
  /** Its share beside other teams. */
  readonly weight: number
  /** How long a request may wait while its key rests, milliseconds; 0: it is refused at once. */
  readonly maxRestMs: number
}

/** Of requests that no team has made. */
export const ofNoTeam: Precedence = { team: '', priority: 'normal', weight: 2, maxRestMs: 0 }
