"""Where replicas run: the built-in backend ``process``.

`process` is the plugin and the gateway's side of it. `zygote` and `child` are what runs
in the processes that it starts; they import neither the gateway nor a web framework.
"""
