"""What decides which version answers: routes as plain values, and policies that are functions of values.

No socket, clock or event loop in here; `prism_core.gateway.traffic` does what is decided.

| module                          | what it holds                                                          |
|---------------------------------|------------------------------------------------------------------------|
| `route`, `targets`              | the route of a model, whole, and what it can lead to                   |
| `flaws`                         | what is wrong with a route by itself                                   |
| `moves`                         | how much of the traffic moves when weights change                      |
| `splitting`, `sticky`           | which share of a split a request belongs to, and by what of it         |
| `mentions`, `features`          | what rules speak of, and the values of a JSON body                     |
| `trial`, `verdicts`, `guarding` | the sums of an experiment, what they say, what a guard makes of them   |
| `statistics`, `sketch`          | what may be said of a difference, however often one looks; quantiles   |
| `combination`, `combining`      | how the answers of an ensemble's members become one                    |
| `learning`, `best`              | what a bandit knows of its arms, and the weights that it makes of that |
| `rewards`                       | what an answer was worth, by its label                                 |
| `comparing`, `shadowing`        | how two answers differ, and when a shadow is asked                     |
| `redacting`, `replaying`        | what is not kept of a request, and what two versions made of the rest  |

`ensemble`, `hedge`, `circuit`, `experiment`, `bandit`, `feedback` and `recording` hold the values of one
policy each.
"""
