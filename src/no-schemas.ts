// Fastify without its schema compilers: no route of ours has a schema, and loading the compilers slows every start.

/** The option `schemaController`. A route with a schema would fail when it is registered. */
export const withoutSchemas = {
  compilersFactory: { buildValidator: refuse, buildSerializer: refuse },
}

function refuse(): never {
  throw new Error('a route has a schema, and this Fastify has no compiler for it')
}
