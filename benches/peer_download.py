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
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "interop"))

from torrents import Torrent, Tracker, aria2, libtorrent, new_address  # noqa: E402

PEER = os.path.join(
    os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "peer"
)


def peer(address, folder, torrent):
    where = ["--address", address, "--port", "0"]
    return [PEER, *where, "--seed-time", "0", torrent.path, folder]


PROGRAMS = {
    "peer": peer,
    "aria2": lambda *where: aria2(*where, "--seed-time=0"),
    "libtorrent": lambda *where: libtorrent(*where, "leech"),
}


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
        size = given.megabytes * 1024 * 1024
        torrent = Torrent(folder, size, tracker.url, piece_length=1024 * 1024)
        try:
            for _ in range(given.rounds):
                for name in given.programs:
                    measured = download(PROGRAMS[name], torrent, tracker, folder)
                    results[name].append(measured)
                    print("%-10s %6.2f s  %6.2f CPU-s" % (name, *measured), flush=True)
        finally:
            tracker.close()
    print("\nmedians of %d rounds, %d MiB" % (given.rounds, given.megabytes))
    print("%-10s %8s %8s" % ("program", "seconds", "CPU-s"))
    for name, measured in results.items():
        print("%-10s %8.2f %8.2f" % (name, *map(statistics.median, zip(*measured))))


def download(command, torrent, tracker, folder):
    """Seconds and CPU-seconds."""
    source, target = new_address(), os.path.join(folder, "target")
    tracker.peers.clear()
    os.makedirs(target)
    seed = subprocess.Popen(
        libtorrent(source, torrent.folder, torrent, "seed"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        tracker.wait_for(source, left=0)
        start = time.monotonic()
        leech = subprocess.Popen(
            command(new_address(), target, torrent), stdout=subprocess.DEVNULL, cwd=target
        )
        _, status, usage = os.wait4(leech.pid, 0)
        seconds = time.monotonic() - start
        assert status == 0, status
        assert torrent.is_in(target), "another file"
    finally:
        seed.kill()
        seed.communicate()
        shutil.rmtree(target)
    return seconds, usage.ru_utime + usage.ru_stime


main()
