"""python3 run.py [NAME...]: runs the tests of this folder, or those with one of these words in their
names, several at a time.

They wait, most of the time: for programs that tick once a second, try encryption first, or give
nobody anything for ten seconds. Each has a folder, servers and loopback addresses of its own.
"""

import os
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor, as_completed

from support import programs

AT_ONCE = 8


def main():
    start = time.monotonic()
    loader = unittest.defaultTestLoader
    tests = list(flattened(loader.discover(os.path.dirname(os.path.abspath(__file__)))))
    tests = [test for test in tests if not sys.argv[1:] or any(word in test.id() for word in sys.argv[1:])]
    # Once, not by as many as begin.
    programs()
    done = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(run, test) for test in tests if not is_alone(test)]
        for ended in as_completed(running):
            done.append(told(*ended.result()))
    for test in filter(is_alone, tests):
        done.append(told(*run(test)))
    for group in sorted({type(test) for test in tests}, key=lambda group: group.__name__):
        group.tearDownClass()
    sys.exit(summarize(done, time.monotonic() - start))


def flattened(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flattened(item)
        else:
            yield item


def is_alone(test):
    """It measures, and must not share the machine."""
    return getattr(test, "alone", False)


def run(test):
    start = time.monotonic()
    result = unittest.TestResult()
    test.run(result)
    return test, result, time.monotonic() - start


def told(test, result, seconds):
    """Prints a line as unittest does, and returns the result."""
    outcome = "ok  %.1f s" % seconds
    if result.skipped:
        outcome = "skipped %r" % result.skipped[0][1]
    if not result.wasSuccessful():
        outcome = "FAILED  %.1f s" % seconds
    print("%s ... %s" % (test, outcome), flush=True)
    return result


def summarize(results, seconds):
    """Ends as unittest does; the exit status."""
    failures = [failure for result in results for failure in result.failures + result.errors]
    for test, trace in failures:
        print("=" * 70, "FAIL: %s" % test, "-" * 70, trace, sep="\n")
    skipped = sum(len(result.skipped) for result in results)
    print("-" * 70)
    print("Ran %d tests in %.3fs\n" % (len(results), seconds))
    print("%s (failures=%d, skipped=%d)" % ("FAILED" if failures else "OK", len(failures), skipped))
    return 1 if failures else 0


main()
