"""A gateway on uvloop; prints how many descriptors its replicas have and how they end."""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from prism_core.isolation.process import ProcessConfig, open_processes
from prism_core.protocols import ReplicaSpec
from prism_core.testing.isolation import say_hello


async def main(directory):
    async with open_processes(ProcessConfig(), entry="toy_runtime:run") as launcher:
        names = (("forked", 1), ("spawned", 2))
        specs = [
            ReplicaSpec(name, directory, directory, directory / name, (), (), "toy", sys.executable, threads)
            for name, threads in names
        ]
        handles = [await launcher.start(spec, None) for spec in specs]
        for handle in handles:
            ready = await say_hello(handle.address)
            print(len(json.loads(ready.warnings[0])["descriptors"]))
        await asyncio.gather(*(launcher.stop(handle, 5) for handle in handles))
        print(*[await launcher.poll(handle) for handle in handles])


uvloop.run(main(Path(sys.argv[1])))
