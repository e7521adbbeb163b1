"""Whether what came back is what a case allows."""

# Holds for every outcome of a case, whatever else the outcome says.
SHARED = ("forbid_body", "forbid_header", "interim")


def outcomes(case, strict):
    """What the case allows, the preferred outcome first."""
    expect = case["expect"]
    allowed = [expect] if strict else [expect, *expect.get("or", [])]
    shared = {key: expect[key] for key in SHARED if key in expect}
    return [{**shared, **outcome} for outcome in allowed]


def objection(outcome, connection, is_over):
    """Why this outcome is not what has come; none if it is. `is_over`: no more is waited for."""
    responses = connection.responses
    has_ended = connection.ended.is_set()
    if responses.fault:
        return responses.fault
    if not responses.is_between():
        return "half a response"
    complete = responses.complete
    statuses = [response.status for response in complete]
    if not complete:
        silent = "close" if has_ended else "wait"
        if not has_ended and not is_over:
            return "no response yet"
        if silent not in outcome["status"]:
            return "closed without a response" if has_ended else "no response in time"
    elif statuses[0] not in outcome["status"]:
        return "status %d" % statuses[0]
    if len(complete) not in as_list(outcome["requests"]):
        return "%d responses" % len(complete)
    for number, allowed in enumerate(outcome.get("statuses", [])[: len(complete)]):
        if statuses[number] not in allowed:
            return "status %d in response %d" % (statuses[number], number + 1)
    if outcome.get("close", has_ended) != has_ended:
        return "the connection is closed" if has_ended else "the connection is left open"
    return objection_to_content(outcome, complete, responses.interim)


def objection_to_content(outcome, complete, interim):
    if "body" in outcome and complete and complete[0].status == 200:
        if complete[0].body != outcome["body"].encode("latin-1"):
            return "body %r" % complete[0].body[:40]
    for number, body in enumerate(outcome.get("bodies", [])[: len(complete)]):
        if complete[number].body != body.encode("latin-1"):
            return "body %r in response %d" % (complete[number].body[:40], number + 1)
    if outcome.get("interim") == "forbidden" and interim:
        return "an interim response: %d" % interim[0]
    if outcome.get("forbid_header") in {name for one in complete for name in one.fields}:
        return "the field '%s' was injected" % outcome["forbid_header"]
    text = outcome.get("forbid_body", "").encode("latin-1")
    if text and any(text in response.body for response in complete):
        return "%r in a body" % text
    return None


def in_words(outcome):
    """As in `400/close x0/1, closed`."""
    statuses = "/".join(map(str, outcome["status"]))
    counts = "/".join(map(str, as_list(outcome["requests"])))
    ending = {True: ", closed", False: ", open", None: ""}[outcome.get("close")]
    return "%s x%s%s" % (statuses, counts, ending)


def as_list(value):
    return value if isinstance(value, list) else [value]
