"""A scikit-learn model's twin in ONNX: `model` serves it, everything else makes one.

What serves a twin imports onnxruntime and nothing of scikit-learn or skl2onnx; what makes
one runs in a process of its own.
"""
