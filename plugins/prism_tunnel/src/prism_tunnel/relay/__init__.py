"""PRISM's own relay: a machine with a public address lends it to laptops that have none.

A laptop keeps one SSH connection to the relay and publishes names over it; a visitor's HTTP
request for ``NAME.links.example.org`` goes to whoever publishes NAME. `framing` and `heads` are
HTTP as functions of values, `naming`, `clients`, `table` and `buckets` say who may be asked for
what; `visitors`, `channels` and `publishers` are the three kinds of connection, `serving` opens
all of it. `linker` is the laptop's side.
"""
