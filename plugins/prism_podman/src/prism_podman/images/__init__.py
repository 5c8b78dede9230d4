"""Images of environments: a base, the packages as layers, PRISM's own wheels last.

`selection` says which files a pin means and `layers` in which order they lie; `containerfile` has the
name and the text of an image, `oci` its archive. `packing` writes tars, by the interpreter that
`spooling` runs it with. `store` is Podman's side, `bases` finds what an image begins with, and
`ensuring` puts these together; `foreign` is for packages that this machine cannot have, `appliances`
for images that serve alone.
"""
