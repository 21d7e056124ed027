// What a Host field may hold.

/** A name or an address, and a port. */
export const hostForm = /^(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/
