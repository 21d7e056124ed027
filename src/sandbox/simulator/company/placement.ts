// How and where new sessions run: security profiles with their defaults, and the default platform of an organization.

import { ApiError } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, isItem, text, type Item } from '../state/item.ts'
import { collection, given } from '../state/collection.ts'
import { idMembers } from '../state/kinds.ts'
import { setting, type State } from '../state/state.ts'

/** Labels of hosted platforms that every organization has. */
export const platforms: readonly string[] = ['linux', 'windows', 'macos']

/** Handlers of security profiles at both scopes, of their defaults, and of default platforms. */
export function placementHandlers(state: State): Handlers {
  return { ...profileHandlers(state, 'beta.org'), ...profileHandlers(state, 'beta.ent'), ...platformHandlers(state) }
}

function profileHandlers(state: State, scope: 'beta.org' | 'beta.ent'): Handlers {
  const profiles = collection(state, {
    operations: `${scope}.security-profiles`,
    kind: 'security-profiles',
    parameter: idMembers['security-profiles'],
    verbs: ['list', 'create', 'get', 'update', 'delete'],
    make: (call) => ({ remove_github_cli_token: true, git_access_level: 'read_write', ...given(call) }),
  })
  const settings = setting(
    state,
    'security profiles',
    scope === 'beta.org'
      ? { default: { selection: 'inherit' }, automations_default: { selection: 'inherit' } }
      : { default: { selection: 'none' } },
  )
  const remove = `${scope}.security-profiles.delete`
  return {
    ...profiles,
    [remove]: async (call) => {
      if (isPinned(state, call.parameter('profile_id'))) {
        throw new ApiError(409, 'The profile is still referenced by: default')
      }
      await profiles[remove]?.(call)
      return null
    },
    [`${scope}.security-profile-settings.get`]: (call) => settings.read(call.owner),
    [`${scope}.security-profile-settings.update`]: (call) => {
      for (const selection of Object.values(call.body)) mayPin(state, call, isItem(selection) ? selection : {})
      return settings.write(call.owner, { ...settings.read(call.owner), ...given(call) })
    },
  }
}

/** An organization may pin its own profiles and those of the enterprise, which may pin only its own. */
function mayPin(state: State, call: Call, selection: Item): void {
  const id = text(selection, 'profile_id')
  if ((text(selection, 'selection') === 'profile') !== (id !== null)) {
    throw new ApiError(400, 'profile_id goes with the selection "profile", and only with it')
  }
  const usable = [call.owner, ENTERPRISE].some((owner) => state.shelf('security-profiles', owner).has(id ?? ''))
  if (id !== null && !usable) throw new ApiError(400, `No such security profile: ${id}`)
}

function isPinned(state: State, profile: string): boolean {
  const owners = [ENTERPRISE, ...state.organizations.keys()]
  return owners.some((owner) =>
    Object.values(setting(state, 'security profiles', {}).read(owner)).some(
      (selection) => isItem(selection) && text(selection, 'profile_id') === profile,
    ),
  )
}

function platformHandlers(state: State): Handlers {
  const none = { platform: null, outpost_pool_id: null, outpost_pool_name: null }
  const defaults = setting(state, 'default platform', none)
  return {
    'beta.org.default-platform.get': (call) => defaults.read(call.owner),
    'beta.org.default-platform.set': (call) => {
      const platform = text(call.body, 'platform')
      const outpost = text(call.body, 'outpost_pool_id')
      if (platform !== null && outpost !== null) throw new ApiError(400, 'Send platform or outpost_pool_id, not both')
      if (platform !== null && !platforms.includes(platform.toLowerCase())) {
        throw new ApiError(400, `Unknown platform '${platform}'. Allowed: ${platforms.join(', ')}`)
      }
      if (outpost !== null && !state.shelf('outposts', ENTERPRISE).has(outpost)) {
        throw new ApiError(400, `No such outpost pool: ${outpost}`)
      }
      return defaults.write(call.owner, { ...none, platform, outpost_pool_id: outpost })
    },
  }
}
