"""Torrents, and the programs that exchange them: each on a loopback address of its own, since most
refuse a peer that has their own, or a second one with the same.
"""

import hashlib
import json
import os
import random
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from urllib.parse import quote_from_bytes

from support import TOO_LONG, programs

# aria2 tries encryption for seconds first, and Transmission lets nobody download for its first ten;
# and several exchanges share the machine.
EXCHANGE_TOO_LONG = 9 * TOO_LONG

PIECE = 128 * 1024


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    pairs = sorted(value.items())
    return b"d%se" % b"".join(bencode(key) + bencode(item) for key, item in pairs)


class Torrent:
    """A file in a folder of its own, and its torrent. Private: its peers come from the tracker."""

    def __init__(self, folder, data, announce, name="data.bin", piece_length=PIECE):
        self.folder = tempfile.mkdtemp(dir=folder)
        self.data = data
        self.name = name
        self.piece_length = piece_length
        pieces = [data[at : at + piece_length] for at in range(0, len(data), piece_length)]
        self.pieces = len(pieces)
        info = {
            "length": len(data),
            "name": name,
            "piece length": piece_length,
            "pieces": b"".join(hashlib.sha1(piece).digest() for piece in pieces),
            "private": 1,
        }
        self.info_hash = hashlib.sha1(bencode(info)).digest()
        self.query = "info_hash=" + quote_from_bytes(self.info_hash)
        self.path = os.path.join(self.folder, "a.torrent")
        with open(self.path, "wb") as file:
            file.write(bencode({"announce": announce, "info": info}))

    def put_into(self, folder):
        with open(os.path.join(folder, self.name), "wb") as file:
            file.write(self.data)

    def is_in(self, folder):
        with open(os.path.join(folder, self.name), "rb") as file:
            return file.read() == self.data


class MadeTorrent:
    """A folder of files, and its torrent as mktorrent makes it."""

    def __init__(self, folder, files, announce):
        self.folder = tempfile.mkdtemp(dir=folder)
        self.name = "album"
        self.files = files
        self.put_into(self.folder)
        self.path = os.path.join(self.folder, "a.torrent")
        source = os.path.join(self.folder, self.name)
        # Pieces of 32 KiB; private.
        command = ["mktorrent", "-l", "15", "-p", "-a", announce, "-o", self.path, source]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def put_into(self, folder):
        for name, data in self.files.items():
            path = os.path.join(folder, self.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)

    def is_in(self, folder):
        for name, data in self.files.items():
            with open(os.path.join(folder, self.name, name), "rb") as file:
                if file.read() != data:
                    return False
        return True


class Client:
    """A running program that seeds or downloads a torrent. It is there when `start` returns."""

    # What has to be there to run it.
    programs = []

    @classmethod
    def is_here(cls):
        return all(map(shutil.which, cls.programs))

    def __init__(self, torrent, is_seed):
        self.torrent = torrent
        self.is_seed = is_seed
        self.folder = tempfile.mkdtemp(dir=torrent.folder)
        self.file = os.path.join(self.folder, torrent.name)
        if is_seed:
            torrent.put_into(self.folder)
        self.ip = new_address()
        self.port = free_port(self.ip)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**os.environ, "HOME": self.folder},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self):
        """Waits until it has the file: by default, until it has ended well."""
        try:
            status = self.process.wait(EXCHANGE_TOO_LONG)
        except subprocess.TimeoutExpired:
            status = "still running"
        assert status == 0, "%s: %s" % (status, self.log())

    def log(self):
        with open(os.path.join(self.folder, "log"), "rb") as log:
            return log.read()[-2000:].decode(errors="replace")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Aria2(Client):
    programs = ["aria2c"]

    def command(self):
        how = ["--bt-seed-unverified=true", "--seed-ratio=0.0"] if self.is_seed else ["--seed-time=0"]
        return [
            "aria2c",
            "--no-conf=true",
            # UDP trackers are left out without; a private torrent keeps it silent.
            "--enable-dht=true",
            "--dht-listen-port=%d" % free_port(self.ip),
            "--dht-file-path=" + os.path.join(self.folder, "dht"),
            "--enable-dht6=false",
            "--enable-peer-exchange=false",
            "--bt-enable-lpd=false",
            "--disable-ipv6=true",
            "--interface=" + self.ip,
            "--listen-port=%d" % self.port,
            "--dir=" + self.folder,
            "--allow-overwrite=true",
            "--file-allocation=none",
            "--follow-torrent=false",
            "--summary-interval=0",
            "--show-console-readout=false",
            *how,
            self.torrent.path,
        ]


class CTorrent(Client):
    """An old client: HTTP/1.0 without Host, no extension of the protocol."""

    programs = ["ctorrent"]

    def command(self):
        # Hours to seed after the download.
        how = ["-e", "0"]
        if self.is_seed:
            # Kilobytes per second. When several pieces come at once, aria2 sends one bitfield in
            # place of a HAVE for each. ctorrent closes at a bitfield that is not the first message,
            # and again when aria2 comes back and begins with two. So pieces come one by one.
            how = ["-e", "1", "-U", "2000"]
        where = ["-i", self.ip, "-p", str(self.port), "-s", self.file]
        return ["ctorrent", *where, *how, self.torrent.path]


class LibTorrent(Client):
    """The engine of qBittorrent and Deluge."""

    @classmethod
    def is_here(cls):
        return python_with_libtorrent() is not None

    def command(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtorrent_peer.py")
        what = ["seed" if self.is_seed else "leech", self.ip, str(self.port)]
        return [python_with_libtorrent(), script, *what, self.torrent.path, self.folder]


class Peer(Client):
    """Ours."""

    def program(self):
        return programs()["peer"]

    def command(self):
        where = ["--address", self.ip, "--port", str(self.port)]
        until_when = [] if self.is_seed else ["--seed-time", "0"]
        return [self.program(), *where, *until_when, self.torrent.path, self.folder]


class Transmission(Client):
    programs = ["transmission-daemon"]

    def command(self):
        # Written to by the script that it runs when it is done.
        self.done = os.path.join(self.folder, "done")
        os.mkfifo(self.done)
        self.reader = os.open(self.done, os.O_RDONLY | os.O_NONBLOCK)
        script = os.path.join(self.folder, "script")
        with open(script, "w") as file:
            file.write("#!/bin/sh\necho done >%s\n" % self.done)
        os.chmod(script, stat.S_IRWXU)
        watched = os.path.join(self.folder, "watched")
        os.mkdir(watched)
        shutil.copy(self.torrent.path, watched)
        settings = {
            "bind-address-ipv4": self.ip,
            "bind-address-ipv6": "::1",
            "dht-enabled": False,
            "lpd-enabled": False,
            "pex-enabled": False,
            "utp-enabled": False,
            "port-forwarding-enabled": False,
            "encryption": 0,
            "peer-port": self.port,
            "rpc-enabled": False,
            "download-dir": self.folder,
            "preallocation": 0,
            "script-torrent-done-enabled": True,
            "script-torrent-done-filename": script,
            "watch-dir": watched,
            "watch-dir-enabled": True,
        }
        with open(os.path.join(self.folder, "settings.json"), "w") as file:
            json.dump(settings, file)
        return ["transmission-daemon", "--foreground", "--config-dir", self.folder]

    def wait(self):
        ready, _, _ = select.select([self.reader], [], [], EXCHANGE_TOO_LONG)
        assert ready, "not done: " + self.log()

    def kill(self):
        super().kill()
        os.close(self.reader)


CLIENTS = {
    "aria2": Aria2,
    "ctorrent": CTorrent,
    "libtorrent": LibTorrent,
    "peer": Peer,
    "transmission": Transmission,
}


@lru_cache()
def python_with_libtorrent():
    """The system's Python may have it, and the one that runs this not."""
    for python in [sys.executable, "/usr/bin/python3"]:
        try:
            subprocess.run([python, "-c", "import libtorrent"], check=True, capture_output=True)
            return python
        except (OSError, subprocess.CalledProcessError):
            pass
    return None


def new_address():
    """A loopback address that nobody else has: with three random numbers, nobody else will get it."""
    return "127.%d.%d.%d" % tuple(random.randint(1, 254) for _ in range(3))


def free_port(ip):
    """Nobody else has this address, so nobody takes it meanwhile."""
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return probe.getsockname()[1]


def until(what, is_so):
    """Asks until the answer is yes."""
    end = time.monotonic() + EXCHANGE_TOO_LONG
    while not is_so():
        assert time.monotonic() < end, "never so: " + what
        time.sleep(0.05)
