#!/usr/bin/env python3
"""Sends raw requests, good and bad ones, to an HTTP/1.1 server and judges what comes back.

    run.py [--strict] [--verbose] [--only REGEX] [--cases FILE]... [ADDRESS:PORT]

Without an address it starts the example `hello`. The server answers every GET and POST with 200,
and a POST to /echo with the request's body. What the fields of a case mean is written at the
beginning of each file of cases. Ends with `N passed, N failed`.
"""

import argparse
import asyncio
import json
import os
import re
import sys

from connection import Connection, play
from verdict import in_words, objection, outcomes

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(FOLDER, "..", "interop"))


def main():
    options = parse_arguments(sys.argv[1:])
    cases = [case for name in options.cases for case in load(name)]
    cases = [case for case in cases if re.search(options.only, case["id"])]
    if options.address:
        host, _, port = options.address.rpartition(":")
        results = asyncio.run(run_all((host.strip("[]"), int(port)), cases, options.strict))
    else:
        results = with_hello(cases, options.strict)
    return report(results, options.verbose)


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", nargs="?", metavar="ADDRESS:PORT")
    files = ["http1_cases.json", "more_cases.json"]
    files = [os.path.join(FOLDER, name) for name in files]
    parser.add_argument("--cases", action="append", metavar="FILE", help="instead of all")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases with such an id")
    parser.add_argument("--strict", action="store_true", help="accept no second choice")
    parser.add_argument("--verbose", action="store_true", help="name those that pass, too")
    options = parser.parse_args(arguments)
    options.cases = options.cases or files
    return options


def load(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)["cases"]


def with_hello(cases, strict):
    from support import Server

    server = Server("hello")
    try:
        results = asyncio.run(run_all((server.host, server.port), cases, strict))
        status, log = server.finish()
        if status != 0:
            sys.exit("the server has not ended well: %d\n%s" % (status, log))
        return results
    finally:
        server.kill()


class Result:
    """What one case has come to."""

    def __init__(self, case, allowed, objection, choice, got):
        self.case = case
        self.allowed = allowed
        # Why it has failed, if it has.
        self.objection = objection
        # Which of the allowed outcomes it was.
        self.choice = choice
        self.got = got


async def run_all(address, cases, strict):
    slots = asyncio.Semaphore(CONNECTIONS_MAX)
    return await asyncio.gather(*(run_case(address, case, strict, slots) for case in cases))


async def run_case(address, case, strict, slots):
    allowed = outcomes(case, strict)
    raw = expand(case)
    # Split in two at every place: as many connections as there are places.
    cuts = range(1, len(raw)) if case.get("mode") == "split2" else [None]
    tries = [run_once(address, case, allowed, raw, cut, slots) for cut in cuts]
    results = await asyncio.gather(*tries)
    worst = max(results, key=lambda result: (bool(result.objection), result.choice))
    if worst.objection or case["level"] in ("robust", "security"):
        after = await run_once(address, HEALTH, outcomes(HEALTH, True), expand(HEALTH), None, slots)
        if after.objection:
            told = "%s; afterwards: %s" % (worst.objection or "as allowed", after.objection)
            worst.objection = told
    return worst


def expand(case):
    """The bytes of a case: each character is one, and each token stands for many."""
    raw = case["raw"].encode("latin-1")
    for token, (unit, count) in case.get("expand", {}).items():
        raw = raw.replace(token.encode("latin-1"), unit.encode("latin-1") * count)
    return raw


async def run_once(address, case, allowed, raw, cut, slots):
    async with slots:
        try:
            async with Connection(address, case.get("methods", ())) as connection:
                told, choice = await converse(connection, case, allowed, raw, cut)
        except (OSError, asyncio.TimeoutError) as error:
            return Result(case, allowed, "no connection: %r" % error, 0, "nothing")
    if told and cut is not None:
        told = "cut at %d: %s" % (cut, told)
    return Result(case, allowed, told, choice, describe(connection))


async def converse(connection, case, allowed, raw, cut):
    """Sends what the case says, and waits until an outcome has come or none can come any more."""
    limit = max(LIMIT, case.get("limit", 0))
    quiet = QUIET if cut is None else QUIET_CUT
    deadline = limit
    if case.get("steps"):
        told = await play(case["steps"], connection, limit)
        if told or connection.was_abandoned:
            return told, 0
        deadline = connection.age() + limit
    elif case.get("mode") == "bytewise":
        await play([["send_slow", raw.decode("latin-1"), 0.0005]], connection, limit)
    elif cut is not None:
        await connection.send(raw[:cut], limit)
        await connection.end_within(0.002)
        await connection.send(raw[cut:], limit)
    else:
        connection.begin_to_send(raw, limit)
    return await wait_for_outcome(connection, case, allowed, deadline, quiet)


async def wait_for_outcome(connection, case, allowed, deadline, quiet):
    # A case that allows silence says for how long it wants to see it.
    patience = case["expect"].get("wait", deadline)
    while True:
        has_ended, has_answer = connection.ended.is_set(), connection.has_answer()
        silence = connection.silence() if case.get("steps") else connection.age()
        is_over = has_ended or connection.age() >= deadline
        is_over |= not has_answer and not connection.is_sending and silence >= patience
        is_quiet = has_answer and not connection.is_sending and connection.silence() >= quiet
        if is_over or is_quiet:
            objections = [objection(outcome, connection, is_over) for outcome in allowed]
            if None in objections:
                return None, objections.index(None)
            if is_over or connection.responses.fault:
                return objections[0], 0
        await connection.end_within(TICK)


def describe(connection):
    """As in `200,400 closed`."""
    statuses = [str(response.status) for response in connection.responses.complete]
    shown = ",".join(statuses[:4]) or "nothing"
    if len(statuses) > 4:
        shown += ",+%d" % (len(statuses) - 4)
    ending = "open"
    if connection.ended.is_set():
        ending = "reset" if connection.was_reset else "closed"
    return "%s %s" % (shown, ending)


def report(results, verbose):
    failed = [result for result in results if result.objection]
    for result in results:
        if result.objection:
            allowed = " or ".join(map(in_words, result.allowed))
            place = (result.case["id"], result.got, result.objection, allowed)
            print("FAILED %s: %s: %s; allowed: %s" % place)
        elif verbose:
            choice = ", choice %d" % (result.choice + 1) if result.choice else ""
            print("passed %s: %s%s" % (result.case["id"], result.got, choice))
    second = [result.case["id"] for result in results if result.choice and not result.objection]
    if second:
        print("not the preferred outcome: %s" % " ".join(second))
    print("%d passed, %d failed" % (len(results) - len(failed), len(failed)))
    return 1 if failed else 0


# Whether a server still answers.
HEALTH = {
    "id": "health",
    "level": "must",
    "limit": 5,
    "raw": "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "expect": {"status": [200], "requests": 1},
}

# Connections at once: most of a case is waiting.
CONNECTIONS_MAX = 24

# Seconds: for a case that does not say; after an answer, before it counts as the last, and where
# there are many of them; between two looks.
LIMIT = 2
QUIET = 0.2
QUIET_CUT = 0.05
TICK = 0.02

if __name__ == "__main__":
    sys.exit(main())
