"""The peer, with those that others wrote on the other side: what they exchange must be the same."""

import itertools
import os
import re
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from unittest import SkipTest

from support import TOO_LONG, Case
from peers import (
    BLOCK,
    INTERESTED,
    PIECE,
    REQUEST,
    UNCHOKE,
    ScriptedSeed,
    Tracker,
    Wire,
)
from torrents import CLIENTS, MadeTorrent, Torrent, new_address, until

# With PEER_RATE_STRICT=1 rates are measured alone, and for 20 s, and are what the limiter promises.
# That takes a machine that does nothing else: what a busy one takes from us for more than a second
# is not made up for. Without, they must not be too high, which no machine is too busy for.
IS_STRICT = os.environ.get("PEER_RATE_STRICT", "") == "1"

# Programs of others retry and tick in their own time.
PATIENCE = 4 * TOO_LONG


class Swarm(Case):
    """A test with a tracker, a torrent and folders of its own."""

    SIZE = 8 * 1024 * 1024 - 5000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="squall-peer-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tracker = Tracker()
        self.addCleanup(self.tracker.close)
        self.torrent = Torrent(self.folder, os.urandom(self.SIZE), self.tracker.url)

    def new_folder(self):
        return tempfile.mkdtemp(dir=self.folder)

    def needs_program(self, name):
        if not shutil.which(name):
            self.skipTest("%s is not installed" % name)

    def client(self, name, is_seed=False):
        """Another's program."""
        if not CLIENTS[name].is_here():
            self.skipTest("%s is not installed" % name)
        client = CLIENTS[name](self.torrent, is_seed)
        self.addCleanup(client.kill)
        return client

    def peer(self, folder, *flags, torrents=(), log=""):
        """Ours, on an address of its own."""
        paths = [torrent.path for torrent in torrents or [self.torrent]]
        return self.serve("peer", "--address", new_address(), *flags, *paths, folder, log=log)

    def seed(self, *flags, torrents=(), log=""):
        torrents = torrents or [self.torrent]
        folder = self.new_folder()
        for torrent in torrents:
            torrent.put_into(folder)
        seed = self.peer(folder, *flags, torrents=torrents, log=log)
        # First it looks at what it has.
        for _ in torrents:
            while "complete" not in (line := seed.process.stdout.readline()):
                self.assertTrue(line, "it has ended")
        if "--no-announce" not in flags:
            self.tracker.wait_for(seed.host, left=0)
        return seed

    def assertIsIn(self, folder, torrent=None):
        torrent = torrent or self.torrent
        self.assertTrue(torrent.is_in(folder), "another file has arrived")

    def downloads(self, folder, *flags, torrents=()):
        """Ours has downloaded everything, and ends."""
        leech = self.peer(folder, "--seed-time", "0", *flags, torrents=torrents)
        out, log = leech.process.communicate(timeout=PATIENCE)
        self.assertEqual(leech.process.returncode, 0, out + log)
        for torrent in torrents or [self.torrent]:
            self.assertIsIn(folder, torrent)
        return leech, out, log


class WithOthers(Swarm):
    results = {}

    @classmethod
    def tearDownClass(cls):
        """The matrix: who seeds, who downloads, and what has come of it."""
        for (seed, leech), result in sorted(cls.results.items()):
            # Repeated in the summary of tests/run.
            print("tests/run: peer: %-12s -> %-12s  %s" % (seed, leech, result), flush=True)

    @contextmanager
    def result(self, seed, leech):
        self.results[seed, leech] = "FAILED"
        try:
            yield
            self.results[seed, leech] = "the same file"
        except SkipTest:
            self.results[seed, leech] = "left out"
            raise

    def downloads_from(self, name):
        with self.result(name, "peer"):
            self.download_from(name)

    def uploads_to(self, name):
        with self.result("peer", name):
            self.upload_to(name)

    def download_from(self, name):
        seed = self.client(name, is_seed=True)
        # Some look at what they have first.
        self.tracker.wait_for(seed.ip, left=0)
        leech, _, log = self.downloads(self.new_folder())
        self.assertNotIn("WARN", log)
        self.tracker.wait_for(leech.host, "started", self.SIZE)
        self.tracker.wait_for(leech.host, "completed", 0)
        self.tracker.wait_for(leech.host, "stopped", 0)

    def upload_to(self, name):
        seed = self.seed()
        client = self.client(name)
        client.wait()
        self.assertIsIn(client.folder)
        self.ends_well(seed)

    def test_a_download_from_libtorrent_is_not_another(self):
        self.downloads_from("libtorrent")

    def test_a_download_from_aria2_is_not_another(self):
        self.downloads_from("aria2")

    def test_a_download_from_transmission_is_not_another(self):
        self.downloads_from("transmission")

    def test_a_download_by_libtorrent_is_not_another(self):
        self.uploads_to("libtorrent")

    def test_a_download_by_aria2_is_not_another(self):
        self.uploads_to("aria2")

    def test_a_download_by_ctorrent_is_not_another(self):
        self.uploads_to("ctorrent")

    def test_a_swarm_of_everybody_does_not_stop_before_all_have_everything(self):
        seed = self.seed("--upload-limit", "4000000")
        others = [self.client("libtorrent"), self.client("aria2")]
        folders = [self.new_folder() for _ in range(2)]
        ours = [self.peer(folder) for folder in folders]
        for leech in ours:
            self.tracker.wait_for(leech.host, "completed", 0)
        for client in others:
            client.wait()
        for folder in folders + [client.folder for client in others]:
            self.assertIsIn(folder)
        for server in [seed, *ours]:
            self.ends_well(server)


    def test_a_folder_that_mktorrent_has_described_is_not_downloaded_otherwise(self):
        self.needs_program("mktorrent")
        files = {"one": os.urandom(100_000), "two/three": os.urandom(70_001), "two/four": b"5"}
        torrent = MadeTorrent(self.folder, files, self.tracker.url)
        seed = self.seed(torrents=[torrent])
        self.downloads(self.new_folder(), torrents=[torrent])
        if CLIENTS["libtorrent"].is_here():
            client = CLIENTS["libtorrent"](torrent, is_seed=False)
            self.addCleanup(client.kill)
            client.wait()
            self.assertIsIn(client.folder, torrent)
        self.ends_well(seed)


class Alone(Swarm):
    """What others cannot show."""

    def test_two_torrents_do_not_need_two_ports(self):
        other = Torrent(self.folder, os.urandom(3_000_000), self.tracker.url, name="other")
        both = [self.torrent, other]
        seed = self.seed("--no-announce", torrents=both)
        connect = ["--no-announce", "--connect", "%s:%d" % (seed.host, seed.port)]
        self.downloads(self.new_folder(), *connect, torrents=both)
        self.ends_well(seed)

    def test_what_is_on_disk_already_is_not_downloaded_again(self):
        folder = self.new_folder()
        half = len(self.torrent.data) // 2
        with open(os.path.join(folder, self.torrent.name), "wb") as file:
            file.write(self.torrent.data[:half])
        seed = self.seed("--no-announce")
        _, out, _ = self.downloads(
            folder, "--no-announce", "--connect", "%s:%d" % (seed.host, seed.port)
        )
        down = int(re.search(r"(\d+) bytes down", out).group(1))
        kept = half // self.torrent.piece_length * self.torrent.piece_length
        self.assertEqual(down, len(self.torrent.data) - kept)

    def test_a_seed_that_lies_is_banned_and_does_not_stop_the_download(self):
        liar = ScriptedSeed(self.torrent, lambda piece, begin, length: bytes(length))
        self.addCleanup(liar.close)
        honest = self.seed("--no-announce", "--upload-limit", "3000000")
        peers = [(liar.address, liar.port), (honest.host, honest.port)]
        connect = [word for peer in peers for word in ("--connect", "%s:%d" % peer)]
        _, _, log = self.downloads(self.new_folder(), "--no-announce", *connect)
        self.assertIn("peer=%s" % liar.address, log)
        self.assertIn("banned", log)
        self.assertNotIn("peer=%s" % honest.host, log)
        self.assertGreater(liar.sent, 0)
        self.assertEqual(liar.accepted, 1)
        self.ends_well(honest)

    def test_one_lie_among_true_blocks_is_found_out(self):
        def lies_a_little(piece, begin, length):
            start = piece * self.torrent.piece_length + begin
            data = self.torrent.data[start : start + length]
            return data if begin else bytes([data[0] ^ 1]) + data[1:]

        liar = ScriptedSeed(self.torrent, lies_a_little)
        self.addCleanup(liar.close)
        honest = self.seed("--no-announce", "--upload-limit", "3000000")
        peers = [(liar.address, liar.port), (honest.host, honest.port)]
        connect = [word for peer in peers for word in ("--connect", "%s:%d" % peer)]
        _, _, log = self.downloads(self.new_folder(), "--no-announce", *connect)
        self.assertIn("peer=%s" % liar.address, log)
        self.assertNotIn("peer=%s" % honest.host, log)
        self.ends_well(honest)

    def test_the_last_blocks_are_not_waited_for_from_a_seed_that_stalls(self):
        released = threading.Event()
        self.addCleanup(released.set)

        def stalls(piece, begin, length):
            released.wait(PATIENCE)
            return bytes(length)

        slow = ScriptedSeed(self.torrent, stalls)
        self.addCleanup(slow.close)
        self.addCleanup(released.set)
        fast = self.seed("--no-announce")
        peers = [(slow.address, slow.port), (fast.host, fast.port)]
        connect = [word for peer in peers for word in ("--connect", "%s:%d" % peer)]
        self.downloads(self.new_folder(), "--no-announce", *connect)
        self.ends_well(fast)

    def test_a_tracker_that_is_away_for_a_while_does_not_end_anything(self):
        dead = Torrent(self.folder, b"dead", "http://%s:1/announce" % new_address())
        seed = self.peer(self.new_folder(), torrents=[dead])
        line = seed.process.stderr.readline()
        self.assertIn("cannot announce", line)
        self.assertIn("again in 50 s", line)
        status, _ = seed.finish()
        self.assertEqual(status, 0)


class UploadLimit(Swarm):
    LIMIT = 1_000_000
    SECONDS = 20 if IS_STRICT else 4

    # For run.py.
    alone = IS_STRICT

    def test_one_does_not_get_more_than_the_limit(self):
        self.shares(1)

    def test_four_do_not_get_more_than_the_limit_nor_more_than_one_another(self):
        self.shares(4)

    def test_eight_do_not_get_more_than_the_limit_nor_more_than_one_another(self):
        self.shares(8)

    def shares(self, count):
        """What is compared are the seed's own accounts at one moment: those of the readers would
        lack what lies in sockets because they have not come to read it."""
        limit = ["--upload-limit", str(self.LIMIT)]
        seed = self.seed("--no-announce", *limit, log="peer=debug")
        # All together ask for two megabytes ahead: we may be stopped for a while, and who asks for
        # nothing has no claim to what passes meanwhile.
        downloads = [Download(seed, self.torrent, 128 // count) for _ in range(count)]
        start = time.monotonic()
        for download in downloads:
            download.begin()
        enough = self.SECONDS * self.LIMIT
        until("%d bytes have come" % enough, lambda: sum(d.wire.received for d in downloads) >= enough)
        end = time.monotonic()
        status, log = seed.finish()
        last = time.monotonic()
        self.assertEqual(status, 0, log)
        for download in downloads:
            download.finish()
        shares = [int(up) for up in re.findall(r"out .*\bup=(\d+)", log)]
        self.assertEqual(len(shares), count, log)
        if IS_STRICT:
            print("%d downloads: %.0f bytes/s, %s" % (count, sum(shares) / (end - start), sorted(shares)))
            self.assertGreater(sum(shares), 0.98 * self.LIMIT * (end - start))
        # No more than the time allows and one unit, of 10 ms.
        self.assertLess(sum(shares), self.LIMIT * (last - start + 0.01))
        mean = sum(shares) / count
        for share in shares:
            # Only whole blocks are counted.
            self.assertLess(abs(share - mean), 0.02 * mean + 2 * BLOCK, shares)


class Download:
    """Asks for one block after the other, and looks at every byte. It may ask when this is made, and
    begins when it is told to."""

    def __init__(self, seed, torrent, ahead):
        self.ahead = ahead
        self.torrent = torrent
        self.wire = Wire.connect(new_address(), (seed.host, seed.port), torrent.info_hash)
        self.wire.send(INTERESTED)
        self.wire.expect(UNCHOKE)
        self.error = None
        self.thread = threading.Thread(target=self.run)

    def begin(self):
        self.thread.start()

    def run(self):
        try:
            blocks = len(self.torrent.data) // BLOCK
            for number in range(self.ahead):
                self.ask(number)
            for number in itertools.count():
                start = number % blocks * BLOCK
                body = self.wire.expect(PIECE)
                assert body[8:] == self.torrent.data[start : start + BLOCK], "another block"
                self.ask((number + self.ahead) % blocks)
        except ConnectionError:
            # The seed has ended.
            pass
        except (OSError, AssertionError) as error:
            self.error = error

    def ask(self, number):
        piece, begin = divmod(number * BLOCK, self.torrent.piece_length)
        self.wire.send(REQUEST, piece, begin, BLOCK)

    def finish(self):
        self.thread.join(TOO_LONG)
        self.wire.close()
        assert not self.error, self.error
