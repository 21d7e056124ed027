// A step that is measured: what the gateway does in one turn of the event loop, or in several.

export interface Step {
  readonly name: string
  /** Does it once, each turn of it inside `turn`. */
  run(turn: <Result>(work: () => Result) => Result): unknown
}
