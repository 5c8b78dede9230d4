"""Tunnels by programs of this machine, where they are installed; nothing is downloaded."""
