"""The link: products as CCSDS Space Packets, selective repeat, authenticated reports from the ground.

Only `udp` opens a socket and reads a clock; all else is called with the time and with packets. The rules:

1. A product is cut into segments of `SEGMENT_BYTES`. Each names its product (eight bytes of its SHA-256, and its size)
   and its place, so that any one of them can open, continue or complete a transfer, in any order and any pass.
2. The ground asks for what it misses by ranges of segments (NAK), and says with each report which packet it saw last.
   A segment is sent again only when it left before that packet: a gap is proven by what came after it, not by a timer.
3. Everything that comes up is a report or an order (contact plan, operator's query) under HMAC-SHA256 with a counter in
   a window (`seal`); what is not authentic is refused, counted, and changes nothing. An order takes effect in the
   transaction that moves the window, and goes up again until its receipt, sealed too, has come down.
4. The ground acknowledges a product by its whole SHA-256, once its archive is on the disk. Only that marks it as
   delivered, in the transaction that also moves the counter's window. Nothing here deletes a product: storage pressure
   does (`store.queue`), delivered ones first.
5. On board are stored how far each transfer has come, the sequence count and the window. Losing the first two costs
   bytes, never a product.
6. The way down is not authenticated: whoever can reach the station can send it well-formed products of their own. It
   confirms nothing that it does not hold, and what is unfinished or cannot be decoded is bounded (`ground.receive`).

    packet.py   Space Packet primary header        wire.py    segment, prompt and report as bytes
    seal.py     key, HMAC, window of counters      sender.py  what is sent next: pure
    orders.py   plan and query as bytes            window.py  which contact of the plan it is now
    session.py  one pass: store + sender + wire    udp.py     the only socket
"""
