"""What a client may make of a connection: options of gRPC's core, each with its reason."""

from __future__ import annotations

# Calls of one connection at a time: less than half of all, so that a single client cannot have them, and far
# more than anybody needs: whoever is near the bound is refused some calls as UNAVAILABLE, since the two sides
# do not count alike at every moment.
STREAMS = 4096
# Calls of all clients together that are not answered yet. More are told RESOURCE_EXHAUSTED; each may hold
# a message of limits.max_body, and one whose message never comes is counted as well.
CALLS = 10_000
# Connections; the public listener's limits.max_connections, where it is as it comes.
CONNECTIONS = 20_000
# A peer that has vanished without a word is noticed after KEEPALIVE + TIMEOUT, and its calls are cancelled.
KEEPALIVE_MS = 60_000
TIMEOUT_MS = 20_000
# Clients that ping more often are sent away: gRPC's own five minutes do so with clients that are set up
# as Triton's documentation shows it, at ten seconds.
PING_MS = 10_000
# Metadata: as much as a token of an identity provider needs. Above the first it may be refused, above the
# second it is.
METADATA_BYTES, MOST_METADATA_BYTES = 16 * 1024, 32 * 1024
# The TLS and HTTP/2 greetings of a new connection; two minutes by default, limits.head_s over HTTP.
HANDSHAKE_MS = 10_000


def options(max_body_bytes: int) -> list[tuple[str, int]]:
    """Return the options of a server that takes messages up to ``max_body_bytes``."""
    return [
        # By default two servers could share a port, and each have half of the clients.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.max_allowed_incoming_connections", CONNECTIONS),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_MS),
        ("grpc.http2.max_pings_without_data", 0),  # ours go on while a client only waits
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MOST_METADATA_BYTES),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ]
