"""Run in a peer's environment by `peers.Client`: call functions of a script, a line of JSON for each call."""

import importlib.util
import json
import os
import sys
import traceback

spec = importlib.util.spec_from_file_location("script", sys.argv[1])
script = importlib.util.module_from_spec(spec)
sys.path.insert(0, os.path.dirname(sys.argv[1]))
# What libraries print must not get between the answers.
answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
os.dup2(2, 1)
spec.loader.exec_module(script)

for line in sys.stdin:
    function, facts = json.loads(line)
    try:
        answer = json.dumps({"value": getattr(script, function)(**facts)})
    except Exception:
        answer = json.dumps({"error": traceback.format_exc()})
    print(answer, file=answers, flush=True)
