"""Asks two versions again what was recorded, with its original timing, and tells how they differ.

| module    | what it does                                                                      |
|-----------|-----------------------------------------------------------------------------------|
| `asking`  | asks one version beside its live traffic: not cached, and not counted as a call   |
| `sending` | sends each request to both when it is due                                         |
| `judging` | compares the answers in a thread that gives way                                   |
| `wish`    | what a replay is asked for with, and how its versions are named                   |
| `replays` | the use case: one at a time for a model, its progress line by line                |
"""
