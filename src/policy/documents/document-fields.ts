// What the schemas of the policy files have in common.

import { z } from 'zod'

/** An organization's id as it stands raw in a path segment, where a slash, an escape or a space could not be compared. */
export const organizationId = () =>
  z.string().regex(/^[^%/\s]+$/, 'an organization id must not be empty nor hold "%", "/" or spaces')
