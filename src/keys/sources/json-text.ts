// What sources that keep JSON have in common.

/** For `JSON.parse`: numbers that JavaScript would round go back as they came. */
export function keepNumber(this: unknown, _: string, value: unknown, context?: { readonly source?: string }): unknown {
  const rawJson: unknown = Reflect.get(JSON, 'rawJSON')
  const isPlain = typeof value !== 'number' || String(value) === context?.source
  return isPlain || typeof rawJson !== 'function' ? value : Reflect.apply(rawJson, JSON, [context?.source])
}

/** Whether the name of a field may be shown: what is no plain word may be a value in the wrong place. */
export function isShowable(name: string): boolean {
  return /^(?!cog_|apk_)[A-Za-z][A-Za-z0-9_.-]{0,30}$/.test(name)
}
