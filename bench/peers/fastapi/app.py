"""What one writes by hand: FastAPI and uvicorn around a model, one process, no batching.

Handlers are ``async def``: for models this quick that measured faster than FastAPI's thread pool.
"""

from __future__ import annotations

import os

import numpy as np
from fastapi import FastAPI
from predictor import load
from pydantic import BaseModel

app = FastAPI()
answer = load(os.environ["MODEL"])


class Rows(BaseModel):
    """The request's body."""

    input: list[list[float]]


@app.post("/predict")
async def predict(rows: Rows) -> dict[str, list[int]]:
    """Answer the rows."""
    return {"predictions": answer(np.asarray(rows.input)).tolist()}
