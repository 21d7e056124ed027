// The company whose gateway is measured: its teams, and the apps that fetch tokens from its single sign-on.

/** `limited`: teams that may do next to nothing. */
export const teams = {
  usual: ['payments', 'checkout', 'search', 'mobile', 'data'],
  limited: ['trial-a', 'trial-b', 'trial-c', 'trial-d', 'trial-e'],
} as const

/** What tokens for the gateway are meant for: an absolute URI, as resource indicators are (RFC 8707). */
export const audience = 'https://gateway.corp.example'

/** An app of a team, as the single sign-on knows it. */
export interface App {
  readonly clientId: string
  readonly clientSecret: string
  readonly team: string
  /** Of a team that may do next to nothing. */
  readonly limited: boolean
}

const kinds = ['bot', 'builds', 'reports', 'nightly']

/** Four apps of each team, the teams in turn: twenty of the usual ones, then as many of the limited ones. */
export const apps: readonly App[] = [...appsOf(teams.usual, false), ...appsOf(teams.limited, true)]

function appsOf(names: readonly string[], limited: boolean): readonly App[] {
  return kinds.flatMap((kind) =>
    names.map((team) => ({ clientId: `${team}-${kind}`, clientSecret: 'only-for-the-bench', team, limited })),
  )
}

/** The organization of a team. */
export function organizationOf(team: string): string {
  return `org-${team}`
}

/** The group whose members are a team. */
export function groupOf(team: string): string {
  return `sso-${team}-eng`
}
