"""The process that holds one model: frames in, frames out.

It stays small: standard library, numpy, attrs, msgspec, orjson, pluggy, and one framework.
"""
