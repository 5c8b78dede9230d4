"""Another form of a model: converted, compared with the original, measured; in a process of its own."""
