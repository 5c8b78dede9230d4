"""A runtime of MLServer for an ONNX graph; for pickles it brings its own, `mlserver_sklearn`."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from predictor import load


class OnnxModel(MLModel):
    """Answers with the graph's labels."""

    async def load(self) -> bool:
        self._answer = load(await get_model_uri(self._settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        labels = self._answer(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict", labels)])
