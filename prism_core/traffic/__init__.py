"""What decides which version answers: routes as plain values, and policies that are functions of values.

No socket, clock or event loop in here; `prism_core.gateway.traffic` does what is decided.

| module       | what it holds                                                             |
|--------------|---------------------------------------------------------------------------|
| `route`      | the route of a model, whole                                               |
| `targets`    | what a route can lead to                                                  |
| `flaws`      | what is wrong with a route by itself                                      |
| `moves`      | how much of the traffic moves when weights change                         |
| `splitting`, `sticky` | which share of a split a request belongs to, and by what of it |
| `statistics` | what may be said of a difference, however often one looks                  |
| `combination`, `combining` | how the answers of an ensemble's members become one              |
| `learning`, `best` | what a bandit knows of its arms, and the weights that it makes of that    |
| `rewards`    | what an answer was worth, by its label                                    |
| `ensemble`, `hedge`, `circuit`, `experiment` | the values of one policy each             |
| `bandit`, `feedback`, `recording` | the same                                             |
"""
