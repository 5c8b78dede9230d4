"""``prism conformance``: ask any server of the Open Inference Protocol V2 what of the protocol holds there.

`exchange` is what was sent and what came, as values; `tensors` is data in the protocol's forms; `judging`
judges an answer, without I/O; `checks` are the clauses, each a generator of requests that is sent the
answers; `discovery` finds models and a request that they take; `running` drives checks, `rest` and `rpc`
carry them; `report` tells the outcome.
"""
