"""HTTP: the public and the admin application, and the server that runs both.

The only package of the core that imports litestar. Nothing is imported here, so that
`prism_core.rest.errors` stays cheap.
"""
