"""python3 libtorrent_peer.py seed|leech IP PORT TORRENT FOLDER: seeds until it is killed, or ends when
it has everything."""

import sys

import libtorrent

what, ip, port, torrent, folder = sys.argv[1:]

session = libtorrent.session(
    {
        "listen_interfaces": "%s:%s" % (ip, port),
        "outgoing_interfaces": ip,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        # Disabled.
        "out_enc_policy": 2,
        "in_enc_policy": 2,
        "allow_multiple_connections_per_ip": True,
        "min_reconnect_time": 2,
        "min_announce_interval": 5,
        "alert_mask": libtorrent.alert.category_t.status_notification
        | libtorrent.alert.category_t.tracker_notification
        | libtorrent.alert.category_t.error_notification,
    }
)
handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": folder})
done = False
while not done:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(alert, flush=True)
        finished = isinstance(alert, libtorrent.torrent_finished_alert)
        done |= finished and what == "leech"
# It says goodbye to the tracker.
session.pause()
