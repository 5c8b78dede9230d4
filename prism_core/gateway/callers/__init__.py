"""Who calls, and what they may: asked of each request's head before its body is read."""
