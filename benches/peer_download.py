#!/usr/bin/env python3
"""Downloads a file from a libtorrent seed on loopback with several programs, and compares them.

    cargo build --release --package squall-examples --bin peer
    benches/peer_download.py [--megabytes 1024] [--rounds 3] [--folder /dev/shm] [PROGRAM...]

PROGRAM is `peer`, `aria2` or `libtorrent`; all unless named. Programs take turns, each with a fresh
seed and an empty folder. Seconds are from the start of a program to its end, CPU-seconds those of
its process. aria2's first seconds go by in trying to encrypt and in a tick of one second.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = (os.path.join(ROOT, "tests", folder) for folder in ("interop", "torrents"))

from peers import Tracker  # noqa: E402
from torrents import CLIENTS, Torrent  # noqa: E402

PEER = os.path.join(
    os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "peer"
)


class Peer(CLIENTS["peer"]):
    def program(self):
        return PEER


PROGRAMS = {"peer": Peer, "aria2": CLIENTS["aria2"], "libtorrent": CLIENTS["libtorrent"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS), metavar="PROGRAM")
    given = parser.parse_args()
    results = {name: [] for name in given.programs}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        tracker = Tracker()
        try:
            data = b"".join(os.urandom(MEGABYTE) for _ in range(given.megabytes))
            torrent = Torrent(folder, data, tracker.url, piece_length=MEGABYTE)
            for _ in range(given.rounds):
                for name in given.programs:
                    measured = download(PROGRAMS[name], torrent, tracker)
                    results[name].append(measured)
                    print("%-10s %6.2f s  %6.2f CPU-s" % (name, *measured), flush=True)
        finally:
            tracker.close()
    print("\nmedians of %d rounds, %d MiB" % (given.rounds, given.megabytes))
    print("%-10s %8s %8s" % ("program", "seconds", "CPU-s"))
    for name, measured in results.items():
        print("%-10s %8.2f %8.2f" % (name, *map(statistics.median, zip(*measured))))


def download(program, torrent, tracker):
    """Seconds and CPU-seconds."""
    tracker.peers.clear()
    seed, leech = CLIENTS["libtorrent"](torrent, is_seed=True), None
    try:
        tracker.wait_for(seed.ip, left=0)
        start = time.monotonic()
        leech = program(torrent, is_seed=False)
        _, status, usage = os.wait4(leech.process.pid, 0)
        seconds = time.monotonic() - start
        leech.process.returncode = os.waitstatus_to_exitcode(status)
        assert status == 0, leech.log()
        with open(leech.file, "rb") as file:
            assert file.read() == torrent.data, "another file"
    finally:
        for client in filter(None, [seed, leech]):
            client.kill()
            shutil.rmtree(client.folder)
    return seconds, usage.ru_utime + usage.ru_stime


MEGABYTE = 1024 * 1024

main()
