"""The bare ceiling: what uvicorn alone can do. ``uvicorn bare:app``.

Reads the body, decodes the JSON, answers fixed JSON: no model, no routing, no second process.
"""

from __future__ import annotations

import orjson

ANSWER = b'{"predictions":[0]}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))],
}
BODY = {"type": "http.response.body", "body": ANSWER}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    orjson.loads(body)
    await send(START)
    await send(BODY)
