// Wrong usage of a command: exit code 2 with the command's usage. An empty message asks for the usage alone.

export class UsageError extends Error {
  override readonly name = 'UsageError'
}
