"""PRISM, the Predictive Runtime and Inference Serving Module: train, upload, share the link."""

__version__ = "0.1.0"
