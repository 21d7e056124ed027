// Who uses the console, and what they may do. A view hides what the role does not allow; the listener refuses it anyway.

import { createContext } from 'preact'
import { useContext } from 'preact/hooks'

/** @typedef {'viewer' | 'operator' | 'key_officer'} Role */
/** @typedef {{ signed_in: 'local' | 'browser' | 'token', subject: string | null, email: string | null, roles: readonly Role[], until: string | null }} Session */

export const SessionContext = createContext(/** @type {Session | null} */ (null))

/** @param {Role} role */
export function useMay(role) {
  const session = useContext(SessionContext)
  return session !== null && (session.signed_in === 'local' || session.roles.includes(role))
}

/** Whether somebody is signed in without the role. @param {Parameters<typeof useMay>[0]} role */
export function useLacks(role) {
  const may = useMay(role)
  return useContext(SessionContext) !== null && !may
}
