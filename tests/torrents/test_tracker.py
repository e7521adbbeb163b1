"""The tracker with the clients that people use: each pair exchanges a file that they can only have
found each other for through it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request

from support import TOO_LONG, Case
from torrents import CLIENTS, Torrent, free_port, new_address, until

SIZE = 8 * 1024 * 1024

# Who seeds, and who downloads. Transmission dials no loopback address, so it needs one that dials it:
# libtorrent does, also as a seed.
PAIRS = [
    ("libtorrent", "aria2"),
    ("libtorrent", "ctorrent"),
    ("libtorrent", "transmission"),
    ("libtorrent", "libtorrent"),
    ("libtorrent", "peer"),
    ("aria2", "libtorrent"),
    ("aria2", "ctorrent"),
    ("aria2", "peer"),
    ("ctorrent", "aria2"),
    ("ctorrent", "libtorrent"),
    ("ctorrent", "peer"),
    ("peer", "aria2"),
    ("peer", "ctorrent"),
    ("peer", "libtorrent"),
    ("peer", "peer"),
    ("transmission", "libtorrent"),
    ("transmission", "peer"),
]


class Tracker(Case):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="squall-tracker-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def tracker(self, *flags):
        return self.serve("tracker", "--address", new_address(), *flags)

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
        self.assertTrue(client.torrent.is_in(client.folder), "another file has arrived")

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
        # Most do not announce as often as they are asked to: who came first is to be known when the
        # second comes, however long it takes to start. But ctorrent says with its second announce
        # only that it has everything.
        interval = "5" if seed == "ctorrent" else "60"
        tracker = self.tracker("--interval", interval, "--udp-port", "0")
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
        # Who does not announce again is gone after 30 s.
        flags = ["--interval", "20", "--state", state, "--save-every", "1"]
        tracker = self.tracker(*flags)
        torrent = self.torrent(tracker.url + "/announce")
        self.client("libtorrent", torrent, is_seed=True)
        self.waits_for(tracker, torrent, 1, 0)
        self.waits_for_saving(state)
        tracker.process.send_signal(signal.SIGKILL)
        tracker.process.wait(TOO_LONG)
        tracker = self.tracker("--address", tracker.host, "--port", str(tracker.port), *flags)
        # Long before the seed announces again.
        leecher = self.client("libtorrent", torrent, is_seed=False)
        self.assertIsHere(leecher)
        # Which it does all the same.
        count = self.announces(tracker)
        until("another announce", lambda: self.announces(tracker) > count)
        self.ends_well(tracker)

    def waits_for_saving(self, state):
        """Until the new file lies beside the old one; that is a moment, so the third one will do."""
        until("saved", lambda: os.path.exists(state))
        saved = {os.stat(state).st_mtime_ns}
        while len(saved) < 4 and not os.path.exists(state + ".new"):
            saved.add(os.stat(state).st_mtime_ns)

    def announces(self, tracker):
        metrics = get(tracker.url + "/metrics").decode()
        return int(re.search(r'announces_total{over="http"} (\d+)', metrics).group(1))


class OpenTracker(Tracker):
    """The tracker that most people use, with our peers."""

    def test_peers_do_not_need_our_tracker(self):
        path = shutil.which("opentracker")
        if not path:
            self.skipTest("opentracker is not installed")
        ip = new_address()
        port = str(free_port(ip))
        torrent = self.torrent("http://%s:%s/announce" % (ip, port))
        # It answers for torrents on a list only, which it reads as nobody if we are root.
        os.chmod(self.folder, 0o755)
        with open(os.path.join(self.folder, "list"), "w") as file:
            file.write(torrent.info_hash.hex() + "\n")
        command = [path, "-i", ip, "-p", port, "-P", port, "-d", self.folder, "-w", "list"]
        quiet = subprocess.DEVNULL
        tracker = subprocess.Popen(command, cwd=self.folder, stdout=quiet, stderr=quiet)
        self.addCleanup(tracker.wait)
        self.addCleanup(tracker.kill)
        self.client("peer", torrent, is_seed=True)
        scrape = "http://%s:%s/scrape?%s" % (ip, port, torrent.query)
        until("a seed", lambda: b"completei1e" in get_if_there(scrape))
        leecher = self.client("peer", torrent, is_seed=False)
        self.assertIsHere(leecher)
        until("a download", lambda: b"downloadedi1e" in get_if_there(scrape))


def get_if_there(url):
    try:
        return get(url)
    except OSError:
        return b""


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
