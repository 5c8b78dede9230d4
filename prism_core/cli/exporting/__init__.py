"""A served version as something that runs without a server: a build context, an image, a KServe manifest."""
