"""The use cases of a server, without a web framework: upload, predict, watch, stop."""
