// Every server that can stand beside the gateway, in the order of the tables.

import { haproxyMemoPeer, haproxyPeer } from './haproxy.ts'
import { nginxMemoPeer, nginxPeer } from './nginx.ts'
import { barePeer } from './node.ts'
import type { Peer } from './peer.ts'

export const peers: readonly Peer[] = [barePeer, haproxyPeer, haproxyMemoPeer, nginxPeer, nginxMemoPeer]
