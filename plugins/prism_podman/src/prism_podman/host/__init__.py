"""A base image without a registry: the interpreter of this machine, and what it needs of it.

`interpreter` asks a Python what it is, `libraries` finds the shared libraries, and `rootfs` lists
the files of a root file system of them: no shell, no package manager, nothing that nothing needs.
"""
