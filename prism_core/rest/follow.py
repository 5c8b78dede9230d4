"""The process of a follower: ``python -P -m prism_core.rest.follow``, started by the leader.

It predicts on a listener that it was given, and hands everything else to the leader.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from contextlib import AsyncExitStack
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from prism_core import logs
from prism_core.gateway.caching import open_caching
from prism_core.gateway.callers.opening import open_following_doors
from prism_core.gateway.channel import Start, decode_start
from prism_core.gateway.follower import open_follower
from prism_core.gateway.lanes import lane_maker
from prism_core.gateway.traffic.countries import open_countries
from prism_core.gateway.traffic.recordings.recorder import open_recorder
from prism_core.isolation.life import tie_to_life
from prism_core.plugins import PluginSet, load_plugins
from prism_core.rest.accepting import Listening, accepting
from prism_core.rest.access import open_access
from prism_core.rest.cors import cors_of
from prism_core.rest.entrance import asks_of
from prism_core.rest.handing import HandOn
from prism_core.rest.linked import link_way
from prism_core.rest.predict import PredictFront
from prism_core.rest.room import Room, connections
from prism_core.rest.routing import Routes
from prism_core.rest.serve import calm_collector, loop_factory
from prism_core.rest.tls.watching import certificates

log = structlog.get_logger(__name__)


def main() -> int:
    """Follow the leader until it says otherwise, or is gone."""
    parser = argparse.ArgumentParser(prog="python -m prism_core.rest.follow")
    parser.add_argument("--channel", type=int, required=True, help="the socket to the leader")
    parser.add_argument("--listener", type=int, required=True, help="the listening socket")
    parser.add_argument("--life", type=int, required=True, help="the read end of the life line")
    arguments = parser.parse_args()
    tie_to_life(arguments.life)
    start = decode_start(sys.stdin.buffer.read())
    logs.configure(start.settings.log_level, json=start.json)
    plugins = load_plugins(start.settings.load)
    with (
        inherited(arguments.channel) as channel,
        inherited(arguments.listener) as public,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(follow(start, plugins, channel, public))
    return 0


def inherited(number: int) -> socket.socket:
    """Return the socket of an inherited descriptor."""
    found = socket.socket(fileno=number)
    found.set_inheritable(False)
    return found


async def follow(start: Start, plugins: PluginSet, channel: socket.socket, public: socket.socket) -> None:
    """Serve on ``public`` until the leader at the other end of ``channel`` says that it is enough."""
    settings = start.settings
    async with AsyncExitStack() as stack:
        data = settings.data_dir.expanduser().resolve()
        caching = await stack.enter_async_context(open_caching(settings, plugins, data, CollectorRegistry()))
        make_lanes = partial(lane_maker, settings, caching)
        follower = await stack.enter_async_context(open_follower(channel, make_lanes, settings.limits))
        follower.routing.country_of = open_countries(settings.geo_database)
        recorder = open_recorder(data, start.key, follower.routing, follower.mirror.registry)
        await stack.enter_async_context(recorder)
        others = HandOn(start.private)
        stack.push_async_callback(others.close)
        doors = open_following_doors(settings, plugins, follower)
        door, link_door = await stack.enter_async_context(doors)
        access = await stack.enter_async_context(open_access(settings, door))
        limits = settings.limits
        routes = Routes(plugins.dialects.values())
        front = PredictFront(
            follower.service,
            others,
            max_body_bytes=limits.max_body,
            door=door,
            access=access,
            cors=cors_of(settings, asks_of(routes), routes.headers),
            links=link_way(follower.service, link_door, follows=True),
            routes=routes,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, follower.draining.set)
        if await follower.welcome():
            secrets = await stack.enter_async_context(certificates(settings, leads=False))
            tls = (lambda: secrets.public) if secrets else None
            listening = {public: Listening(front, Room(connections(limits.max_connections).public), tls)}
            await stack.enter_async_context(accepting(listening, asyncio.Event(), limits))
            follower.accepting()
            calm_collector()
            await follower.over()


if __name__ == "__main__":
    sys.exit(main())
