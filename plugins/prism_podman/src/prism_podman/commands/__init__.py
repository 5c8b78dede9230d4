"""``prism podman``: images and bases from the command line, and what is wrong with Podman here."""
