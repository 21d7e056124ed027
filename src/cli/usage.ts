// Wrong usage of a command: exit code 2 with the command's usage line. An empty message asks for its help.

export class UsageError extends Error {
  override readonly name = 'UsageError'
}
