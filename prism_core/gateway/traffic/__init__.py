"""Does what the routes of models say: see `prism_core.traffic` for what they are.

A model with a route has a `Routed` where others have a lane. Each request goes its way as a `Journey`; when
it has been answered, taps get it as `Ended`: shadows, recordings, feedback. What they find out is a
`TrafficRecord`, which comes to the leading gateway from all of them.

`Routes` sets routes, shows them and takes changes back; `leading` is the one way in which they change,
`leads` says whether what they lead to is there, `changes` and `states` are what is stored of them.
"""
