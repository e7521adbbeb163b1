"""A peer made of libtorrent: ADDRESS PORT TORRENT FOLDER seed|leech.

Prints `complete` when it has everything; a leech then ends, a seed when its input does.
"""

import sys
import time

import libtorrent

SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    # 2 means disabled.
    "out_enc_policy": 2,
    "in_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "min_reconnect_time": 2,
}


def main():
    address, port, path, folder, mode = sys.argv[1:]
    interfaces = {
        "listen_interfaces": "%s:%s" % (address, port),
        "outgoing_interfaces": address,
    }
    session = libtorrent.session({**SETTINGS, **interfaces})
    parameters = {"ti": libtorrent.torrent_info(path), "save_path": folder}
    if mode == "seed":
        parameters["flags"] = libtorrent.torrent_flags.seed_mode
    torrent = session.add_torrent(parameters)
    while not torrent.status().is_seeding:
        time.sleep(0.01)
    print("complete", flush=True)
    if mode == "seed":
        sys.stdin.read()


main()
