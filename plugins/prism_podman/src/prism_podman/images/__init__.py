"""Images of environments: a base, the packages as layers, PRISM's own wheels last.

`selection` says which files a pin means, `layers` in which order they lie, `containerfile` what is
built of them and under which name, `packing` writes them for Podman, `store` is Podman's side of it,
`bases` finds what an image begins with, and `ensuring` puts these together.
"""
