"""Environments of models: what an artifact needs, resolved to exact packages and built by uv.

Knows neither the gateway nor HTTP. `prism_core.environment` has the records.
"""
