"""A gateway that starts replicas, prints their pids and waits to be killed: ``toy_gateway.py DIRECTORY``."""

import asyncio
import contextlib
import sys
from pathlib import Path
from socket import AF_UNIX, socket

from prism_core.isolation.process import ProcessConfig, open_processes
from prism_core.protocols import ReplicaSpec
from prism_core.testing.isolation import say_hello


async def main(directory):
    async with open_processes(ProcessConfig(), entry="toy_runtime:run") as launcher:
        with contextlib.ExitStack() as open_sockets:
            for name, threads in (("idle", 1), ("busy", 1), ("busy-spawned", 2)):
                listener = open_sockets.enter_context(socket(AF_UNIX))
                listener.bind(str(directory / f"{name}.sock"))
                listener.listen()
                spec = ReplicaSpec(
                    name, directory, directory, directory / name, (), (), "toy", sys.executable, threads
                )
                handle = await launcher.start(spec, listener)
                if name != "idle":
                    await say_hello(handle.address)
                print(handle.pid, flush=True)
            print("ready", flush=True)
            await asyncio.sleep(600)


asyncio.run(main(Path(sys.argv[1])))
