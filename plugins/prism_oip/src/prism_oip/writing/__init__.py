"""Answers: a model's outputs -> bytes as clients expect them. Runs in the runtime."""
