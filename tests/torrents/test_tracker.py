"""The tracker with the clients that people use: each pair exchanges a file that they can only have
found each other for through it."""

import os
import shutil
import signal
import tempfile
import urllib.request

from support import TOO_LONG, Case, programs
from torrents import CLIENTS, Torrent, until

SIZE = 8 * 1024 * 1024

# Who seeds, and who downloads. Transmission dials no loopback address, so it needs one that dials it:
# libtorrent does, also as a seed. aria2 downloads nothing from ctorrent, whoever is the tracker.
PAIRS = [
    ("libtorrent", "aria2"),
    ("libtorrent", "ctorrent"),
    ("libtorrent", "transmission"),
    ("libtorrent", "libtorrent"),
    ("aria2", "libtorrent"),
    ("aria2", "ctorrent"),
    ("ctorrent", "libtorrent"),
    ("transmission", "libtorrent"),
]


class Tracker(Case):
    def setUp(self):
        if "tracker" not in programs():
            self.skipTest("there is no example tracker yet")
        self.folder = tempfile.mkdtemp(prefix="squall-tracker-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def torrent(self, announce):
        """A file of which nobody has heard before, and its torrent."""
        return Torrent(self.folder, os.urandom(SIZE), announce)

    def client(self, name, torrent, is_seed):
        client = CLIENTS[name](torrent, is_seed)
        self.addCleanup(client.kill)
        return client

    def waits_for(self, tracker, torrent, complete, incomplete):
        """Until the tracker knows of as many peers."""
        counts = b"d8:completei%de10:downloadedi0e10:incompletei%dee" % (complete, incomplete)
        url = "%s/scrape?%s" % (tracker.url, torrent.query)
        until("%d and %d peers" % (complete, incomplete), lambda: counts in get(url))

    def assertIsHere(self, client):
        client.wait()
        with open(client.file, "rb") as file:
            self.assertTrue(file.read() == client.torrent.data, "another file has arrived")

    def needs(self, *names):
        for name in names:
            if not CLIENTS[name].is_here():
                self.skipTest("%s is not installed" % name)


class Exchanges(Tracker):
    results = {}

    @classmethod
    def tearDownClass(cls):
        """The matrix: who seeds, who downloads, over what, and what has come of it."""
        for (seed, leech, over), result in sorted(cls.results.items()):
            line = "tracker: %-12s -> %-12s over %-4s  %s" % (seed, leech, over, result)
            # Repeated in the summary of tests/run.
            print("tests/run: " + line, flush=True)

    def exchange(self, seed, leech, over="http"):
        self.results[seed, leech, over] = "left out"
        self.needs(seed, leech)
        self.results[seed, leech, over] = "FAILED"
        tracker = self.serve("tracker", "--interval", "5", "--udp-port", "0")
        urls = {"http": tracker.url, "udp": tracker.process.stdout.readline().split()[2]}
        torrent = self.torrent(urls[over] + "/announce")
        # The first one is known when the second announces, and is dialled by it.
        if leech == "transmission":
            leecher = self.client(leech, torrent, is_seed=False)
            self.waits_for(tracker, torrent, 0, 1)
            self.client(seed, torrent, is_seed=True)
        else:
            self.client(seed, torrent, is_seed=True)
            self.waits_for(tracker, torrent, 1, 0)
            leecher = self.client(leech, torrent, is_seed=False)
        self.assertIsHere(leecher)
        self.ends_well(tracker)
        self.results[seed, leech, over] = "the same file"


class Restarts(Tracker):
    def test_a_tracker_that_was_killed_while_it_saves_does_not_lose_its_peers(self):
        self.needs("libtorrent")
        state = os.path.join(self.folder, "state")
        flags = ["--interval", "60", "--state", state, "--save-every", "1"]
        tracker = self.serve("tracker", *flags)
        torrent = self.torrent(tracker.url + "/announce")
        self.client("libtorrent", torrent, is_seed=True)
        self.waits_for(tracker, torrent, 1, 0)
        before = os.path.getmtime(state) if os.path.exists(state) else None
        until("saved", lambda: os.path.exists(state) and os.path.getmtime(state) != before)
        tracker.process.send_signal(signal.SIGKILL)
        tracker.process.wait(TOO_LONG)
        tracker = self.serve("tracker", *flags, "--port", str(tracker.port))
        # Long before the seed announces again.
        leecher = self.client("libtorrent", torrent, is_seed=False)
        self.assertIsHere(leecher)
        self.ends_well(tracker)


def get(url):
    proxies = urllib.request.ProxyHandler({})
    with urllib.request.build_opener(proxies).open(url, timeout=TOO_LONG) as answer:
        return answer.read()


def add_exchange(seed, leech, over="http"):
    name = "test_what_%s_seeds_does_not_fail_to_reach_%s_over_%s" % (seed, leech, over)
    setattr(Exchanges, name, lambda self: self.exchange(seed, leech, over))


for pair in PAIRS:
    add_exchange(*pair)
add_exchange("libtorrent", "aria2", "udp")
add_exchange("aria2", "libtorrent", "udp")
