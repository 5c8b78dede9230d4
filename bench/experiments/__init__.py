"""How often the guard is wrong where versions are alike, and how soon it finds what is worse: simulated."""
