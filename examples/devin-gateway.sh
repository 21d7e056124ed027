#!/usr/bin/env bash
# Starts a Devin session through the gateway, once, lists all sessions, and waits for limits. bash, curl and sed, nothing else.
#
#   DEVIN_GATEWAY_URL=https://devin-gateway.corp.example \
#   OAUTH_TOKEN_URL=https://sso.corp.example/token OAUTH_CLIENT_ID=my-app OAUTH_CLIENT_SECRET=... \
#   ./devin-gateway.sh org-payments "Fix the flaky refund test"
#
# DEVIN_GATEWAY_TOKEN takes the place of the three OAUTH_ variables where a token is at hand, as in the sandbox.
set -euo pipefail
stop() {
  echo "$1" >&2
  exit 2
}
[ $# -eq 2 ] || stop "usage: devin-gateway.sh ORGANIZATION PROMPT"
organization=$1 prompt=$2
needed=DEVIN_GATEWAY_URL instead='' missing=''
if [ -z "${DEVIN_GATEWAY_TOKEN:-}" ]; then
  needed+=' OAUTH_TOKEN_URL OAUTH_CLIENT_ID OAUTH_CLIENT_SECRET' instead='; or set DEVIN_GATEWAY_TOKEN to a token'
fi
for name in $needed; do [ -n "${!name:-}" ] || missing+=", $name"; done
[ -z "$missing" ] || stop "set ${missing#, }$instead"
[[ $DEVIN_GATEWAY_URL =~ ^https?:// ]] || stop "DEVIN_GATEWAY_URL begins with https://, not $DEVIN_GATEWAY_URL"
answer=$(mktemp -d)
trap 'rm -r "$answer"' EXIT

# A token by the client credentials grant (RFC 6749 section 4.4). The form goes in on standard input: arguments can be seen by
# other users of the machine. The gateway accepts tokens that are meant for it; some providers call this parameter `scope` or `resource`.
token() {
  if [ -n "${DEVIN_GATEWAY_TOKEN:-}" ]; then
    printf %s "$DEVIN_GATEWAY_TOKEN"
    return
  fi
  printf 'data-urlencode = "%s"\n' "grant_type=client_credentials" "client_id=$OAUTH_CLIENT_ID" \
    "client_secret=$OAUTH_CLIENT_SECRET" "audience=${OAUTH_AUDIENCE:-devin-gateway}" |
    curl --silent --show-error --fail-with-body --config - "$OAUTH_TOKEN_URL" |
    sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p'
}

# Sends a request until it has an answer that waiting does not change, and writes the answer. The same rules for all: nothing is
# repeated that was refused for good, and a create is repeated under its Idempotency-Key alone.
call() {
  local attempt status after
  for attempt in 1 2 3 4 5 6; do
    : >"$answer/head"
    : >"$answer/body"
    status=$(curl --silent --show-error --max-time 120 --output "$answer/body" --dump-header "$answer/head" --write-out '%{http_code}' \
      --header @<(printf 'Authorization: Bearer %s\n' "$TOKEN") --header 'Content-Type: application/json' "$@") || status=broken
    after=$(field retry-after)
    case $status in
    2??)
      # What is left of each limit (r), and in how many seconds all of it is back (t).
      field ratelimit >&2
      cat "$answer/body"
      echo
      return
      ;;
    409 | 429) [ -n "$after" ] || break ;; # nothing was done; without Retry-After waiting does not help
    502 | 503 | 504 | broken) after=${after:-$attempt} ;;
    *) break ;;
    esac
    [ "$(field x-should-retry)" != false ] && [ "$after" -le 60 ] && [ "$attempt" -lt 6 ] || break
    echo "$status; again in $after s" >&2
    sleep "$after"
  done
  if [ "$status" = broken ]; then
    echo "failed: no answer from $DEVIN_GATEWAY_URL" >&2
  else
    echo "refused: $status $(cat "$answer/body") (decision $(field gateway-decision))" >&2
  fi
  return 1
}

# A field of the latest answer.
field() {
  sed -n "s/^$1: *\(.*[^[:space:]]\)[[:space:]]*$/\1/Ip" "$answer/head"
}

# Text as a JSON string.
json() {
  local text=$1
  text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n} text=${text//$'\r'/\\r} text=${text//$'\t'/\\t}
  printf '"%s"' "$text"
}

TOKEN=$(token)
sessions="${DEVIN_GATEWAY_URL%/}/v3/organizations/$organization/sessions"

# Every repetition has the same key, so the gateway asks Devin once and repeats its answer. Say what the session may cost: a budget
# refuses a create without a bound.
call --header "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)" \
  --data "{\"prompt\":$(json "$prompt"),\"max_acu_limit\":5}" "$sessions"
for _ in $(seq "${SAMPLE_READS:-1}"); do
  : >"$answer/list"
  after=()
  while :; do
    # A cursor holds +, / and =, which have to be percent-encoded.
    call --get --data-urlencode "first=${SAMPLE_PAGE_SIZE:-100}" "${after[@]}" "$sessions" >"$answer/page"
    cat "$answer/page" >>"$answer/list"
    grep -q '"has_next_page" *: *true' "$answer/page" || break
    after=(--data-urlencode "after=$(sed -n 's/.*"end_cursor" *: *"\([^"]*\)".*/\1/p' "$answer/page")")
  done
done
cat "$answer/list"
