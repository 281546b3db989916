"""HTTP/2 and gRPC framing, server side, for one kind of peer: Envoy. Sans-IO: bytes in, events out, and the other way.

`Connection` is the whole of it; `extproc.wire_transport` gives it sockets and services. Nothing here knows asyncio or any
protobuf message. Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), and gRPC's PROTOCOL-HTTP2.

What makes it cheap: we announce SETTINGS_HEADER_TABLE_SIZE 0, so Envoy's header blocks carry no state and repeat byte for
byte (a look-up instead of HPACK); our own headers and trailers are constants; all answers to one read leave in one write.
"""
