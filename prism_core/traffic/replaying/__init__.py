"""What is found out by asking two versions what was asked before. Pure: no clock, no socket.

| module     | what it holds                                                              |
|------------|----------------------------------------------------------------------------|
| `pacing`   | when each request is due                                                   |
| `features` | the rows of a JSON body by the names of their columns                      |
| `counting` | rows, and those that differ, by the values and ranges of their features    |
| `slices`   | where two versions differ most, corrected for how often one looked         |
| `latency`  | quantiles of both, and how much slower one is                              |
| `outcome`  | the result as a whole, in numbers and words, and whether it is within bounds |
"""
