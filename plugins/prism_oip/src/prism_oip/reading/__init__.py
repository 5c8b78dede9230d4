"""Requests: bytes as they came -> a batch that fits the model. Runs in the runtime."""
