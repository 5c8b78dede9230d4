"""Ask one scanner about each file of a directory; runs in the scanners' own environment.

``judge.py SCANNER DIRECTORY`` prints a JSON object: name of the file -> "blocked", "ok" or "error".
"""

import json
import logging
import sys
from pathlib import Path


def picklescan(path):
    from picklescan.scanner import scan_file_path

    found = scan_file_path(str(path))
    return "blocked" if found.issues_count else "error" if found.scan_err else "ok"


def modelscan(path):
    from modelscan.modelscan import ModelScan

    found = ModelScan().scan(str(path))
    if found["summary"]["total_issues"]:
        return "blocked"
    unread = found["errors"] or not found["summary"]["scanned"]["total_scanned"]
    return "error" if unread else "ok"


def fickling(path):
    from fickling.analysis import Severity, check_safety
    from fickling.fickle import StackedPickle

    with path.open("rb") as file:
        severities = [check_safety(one).severity for one in StackedPickle.load(file)]
    return "ok" if severities and max(severities) == Severity.LIKELY_SAFE else "blocked"


def verdict(judge, path):
    try:
        return judge(path)
    except (Exception, SystemExit):
        return "error"


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    judge = globals()[sys.argv[1]]
    verdicts = {path.name: verdict(judge, path) for path in sorted(Path(sys.argv[2]).iterdir())}
    sys.stdout.write("\n" + json.dumps(verdicts))
