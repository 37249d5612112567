"""The receiving station: packets in, each product once into the archive, reports up.

`onboard.downlink.link` has the rules and the wire format.

inbox.py     what has arrived of unfinished products, and the report counter: one SQLite file
receiver.py  packets -> products -> archive -> reports: no socket, no clock
archive.py   products on the disk, each once, whole or not at all
udp.py       the only socket
"""
