"""Tunnels through SSH servers, in this process: no program of the machine is needed."""
