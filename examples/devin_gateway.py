#!/usr/bin/env python3
"""Starts a Devin session through the gateway, once, lists all sessions, and waits for limits. Python 3.9 or newer, nothing else.

    DEVIN_GATEWAY_URL=https://devin-gateway.corp.example \
    OAUTH_TOKEN_URL=https://sso.corp.example/token OAUTH_CLIENT_ID=my-app OAUTH_CLIENT_SECRET=... \
    python3 devin_gateway.py org-payments "Fix the flaky refund test"

DEVIN_GATEWAY_TOKEN takes the place of the three OAUTH_ variables where a token is at hand, as in the sandbox.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

TRIES = 6
LONGEST_WAIT = 60  # seconds: a limit of a whole day is not worth waiting for here


class Refused(Exception):
    """The gateway or Devin said no, and asking again would not help."""

    def __init__(self, status, problem, decision):
        self.status = status
        # Errors of Devin itself have no reason, and their detail may be a list.
        self.reason = problem.get("reason") or problem.get("title")
        self.decision = decision
        super().__init__(f"{status} {self.reason}: {problem.get('detail')}")


class Tokens:
    """Tokens by the client credentials grant (RFC 6749 section 4.4), each used until shortly before it ends."""

    def __init__(self, environment):
        self._given = environment.get("DEVIN_GATEWAY_TOKEN")
        self._environment = environment
        self._token, self._ends = None, 0.0

    def get(self):
        if self._given:
            return self._given
        if self._token is None or time.monotonic() > self._ends:
            form = {
                "grant_type": "client_credentials",
                "client_id": self._environment["OAUTH_CLIENT_ID"],
                "client_secret": self._environment["OAUTH_CLIENT_SECRET"],
                # The gateway accepts tokens that are meant for it; some providers call this parameter `scope` or `resource`.
                "audience": self._environment.get("OAUTH_AUDIENCE", "devin-gateway"),
            }
            request = urllib.request.Request(
                self._environment["OAUTH_TOKEN_URL"], data=urllib.parse.urlencode(form).encode()
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    said = json.load(answer)
            except urllib.error.URLError as error:
                raise RuntimeError(f"no token from {request.full_url}: {error}") from None
            self._token = said["access_token"]
            self._ends = time.monotonic() + max(0, said.get("expires_in", 60) - 30)
        return self._token

    def forget(self):
        self._token = None


class Gateway:
    def __init__(self, url, tokens):
        self._url, self._tokens = url.rstrip("/"), tokens

    def read(self, path):
        return self._call("GET", path, None, {})

    def read_all(self, path, page_size=100):
        """Every item of a list, page by page. A page may be empty and still not be the last one."""
        after = None
        while True:
            query = {"first": page_size, **({} if after is None else {"after": after})}
            # A cursor holds +, / and =, which have to be percent-encoded.
            page = self.read(f"{path}?{urllib.parse.urlencode(query)}")
            yield from page["items"]
            if not page["has_next_page"]:
                return
            after = page["end_cursor"]

    def create(self, path, body):
        """Creates once: every repetition has the same key, so the gateway asks Devin once and repeats its answer."""
        return self._call("POST", path, body, {"Idempotency-Key": str(uuid.uuid4())})

    def _call(self, method, path, body, fields):
        data = None if body is None else json.dumps(body).encode()
        renewed = False
        for attempt in range(1, TRIES + 1):
            headers = {"Authorization": f"Bearer {self._tokens.get()}", "Content-Type": "application/json", **fields}
            request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)
            wait = None
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    result = json.load(answer)
                    pace(answer.headers.get("RateLimit"))
                    return result
            except urllib.error.HTTPError as error:
                problem = problem_of(error)
                refused = Refused(error.code, problem, error.headers.get("Gateway-Decision"))
                if error.code == 401 and not renewed:
                    self._tokens.forget()
                    renewed = True
                    continue
                wait = wait_after(error.code, problem, error.headers, attempt)
                if wait is None:
                    raise refused from None
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                # Nobody knows whether it was done. A read does no harm, and a create has its key.
                refused = error
                wait = min(2**attempt / 4, 10)
            if attempt == TRIES:
                raise refused
            print(f"{refused}; again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)
        raise AssertionError("unreachable")


def wait_after(status, problem, headers, attempt):
    """Seconds until the same request may be sent again; None where that would not help."""
    after = headers.get("Retry-After")
    if headers.get("x-should-retry") == "false":
        return None
    if status == 429 or (status == 409 and problem.get("reason") == "idempotency-in-progress"):
        # Nothing was done. Without Retry-After waiting does not help.
        return None if after is None or int(after) > LONGEST_WAIT else int(after)
    if status in (502, 503, 504):
        return min(2**attempt / 4, 10) if after is None else min(int(after), LONGEST_WAIT)
    return None


def pace(rate_limit):
    """Waits before a limit is hit: RateLimit says what is left (r) and when all of it is back (t)."""
    for item in (rate_limit or "").split(","):
        parameters = dict(part.strip().split("=", 1) for part in item.split(";")[1:] if "=" in part)
        if parameters.get("r") == "0" and 0 < int(parameters.get("t", 0)) <= LONGEST_WAIT:
            print(f"a limit is used up; going on in {parameters['t']} s", file=sys.stderr)
            time.sleep(int(parameters["t"]))


def problem_of(error):
    try:
        return json.load(error)
    except ValueError:
        return {"detail": error.reason}


def check_settings(environment):
    """Says what is missing before anything is sent."""
    needed = ["DEVIN_GATEWAY_URL"]
    if not environment.get("DEVIN_GATEWAY_TOKEN"):
        needed += ["OAUTH_TOKEN_URL", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"]
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        instead = "; or set DEVIN_GATEWAY_TOKEN to a token" if len(needed) > 1 else ""
        return f"set {', '.join(missing)}{instead}"
    if not environment["DEVIN_GATEWAY_URL"].startswith(("https://", "http://")):
        return f"DEVIN_GATEWAY_URL begins with https://, not {environment['DEVIN_GATEWAY_URL']}"
    return None


def main():
    wrong = "usage: devin_gateway.py ORGANIZATION PROMPT" if len(sys.argv) != 3 else check_settings(os.environ)
    if wrong:
        print(wrong, file=sys.stderr)
        sys.exit(2)
    organization, prompt = sys.argv[1:]
    gateway = Gateway(os.environ["DEVIN_GATEWAY_URL"], Tokens(os.environ))
    sessions = f"/v3/organizations/{urllib.parse.quote(organization, safe='')}/sessions"
    # Say what it may cost: a budget refuses a create without a bound.
    session = gateway.create(sessions, {"prompt": prompt, "max_acu_limit": 5})
    print(json.dumps({"session_id": session["session_id"], "status": session["status"]}))
    for _ in range(int(os.environ.get("SAMPLE_READS", "1"))):
        listed = list(gateway.read_all(sessions, int(os.environ.get("SAMPLE_PAGE_SIZE", "100"))))
    print(json.dumps({"listed": len(listed)}))


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"refused: {refused} (decision {refused.decision})")
    except (RuntimeError, OSError) as failure:
        sys.exit(f"failed: {failure}")
