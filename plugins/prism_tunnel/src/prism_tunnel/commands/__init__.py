"""``prism tunnel``: which ways out there are, whether they work, and whom to trust on the way."""
