"""ONNX Runtime as a peer: one step of an LSTM as a graph, run a character at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from _rondel import TEMPERATURE, Arrays, Ids, Shape
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8


class OnnxLoop:
    """One stream: the token and the state go in, the logits and the next state come out."""

    def __init__(self, shape: Shape, weights: Arrays, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(
            one_step(shape, weights), options, providers=["CPUExecutionProvider"]
        )
        self._states = [value.name for value in self._session.get_inputs()[1:]]
        self._hidden = shape.hidden
        self._rng = np.random.default_rng(1)

    def run(self, count: int) -> None:
        token, state = 1, self._zeros()
        for _ in range(count):
            logits_V, state = self._step(token, state)
            scores_V = logits_V / TEMPERATURE
            weights_V = np.exp(scores_V - scores_V.max()).cumsum()
            token = int(weights_V.searchsorted(self._rng.random() * weights_V[-1]))

    def logits(self, ids: Ids) -> npt.NDArray[Any]:
        """After each token (N, V)."""
        rows, state = [], self._zeros()
        for token in ids.tolist():
            logits_V, state = self._step(token, state)
            rows.append(logits_V)
        return np.stack(rows)

    def _zeros(self) -> list[npt.NDArray[Any]]:
        return [np.zeros((1, 1, self._hidden), np.float32) for _ in self._states]

    def _step(self, token: int, state: list[npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], Any]:
        fed = dict(zip(self._states, state, strict=True), token=np.array([[token]]))
        logits_11V, *state = self._session.run(None, fed)
        return logits_11V[0, 0], state


def one_step(shape: Shape, weights: Arrays) -> bytes:
    """The graph: an embedding, an LSTM operator a layer, and the head."""
    constants = {
        "embedding": weights["embedding.weight"],
        "head": np.ascontiguousarray(weights["head.weight"].T),
        "head_bias": weights["head.bias"],
        "layer_axis": np.array([1]),
    }
    nodes = [helper.make_node("Gather", ["embedding", "token"], ["x0"])]
    state_shape = [1, 1, shape.hidden]
    inputs = [helper.make_tensor_value_info("token", TensorProto.INT64, [1, 1])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)]
    for layer in range(shape.layers):
        for name, array in _layer_constants(weights, layer, shape.hidden).items():
            constants[f"{name}{layer}"] = array
        own = [f"{name}{layer}" for name in ("x", "w", "r", "b")]
        given, made = ([f"{name}{layer}" for name in names] for names in (("h", "c"), ("hn", "cn")))
        nodes += [
            helper.make_node(
                "LSTM", [*own, "", *given], [f"y{layer}", *made], hidden_size=shape.hidden
            ),
            # The operator's output has an axis of directions, of which there is one.
            helper.make_node("Squeeze", [f"y{layer}", "layer_axis"], [f"x{layer + 1}"]),
        ]
        for values, names in ((inputs, given), (outputs, made)):
            values += [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, state_shape)
                for name in names
            ]
    nodes += [
        helper.make_node("MatMul", [f"x{shape.layers}", "head"], ["scores"]),
        helper.make_node("Add", ["scores", "head_bias"], ["logits"]),
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "one step", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def _layer_constants(weights: Arrays, layer: int, hidden: int) -> dict[str, npt.NDArray[Any]]:
    """One layer's matrices and biases, gates in ONNX's order: input, output, forget, candidate."""

    def sorted_gates(name: str) -> npt.NDArray[Any]:
        rows = weights[f"core.{name}_l{layer}"]
        return rows.reshape(4, hidden, -1)[[0, 3, 1, 2]].reshape(rows.shape)

    return {
        "w": sorted_gates("weight_ih")[None],
        "r": sorted_gates("weight_hh")[None],
        "b": np.concatenate([sorted_gates("bias_ih"), sorted_gates("bias_hh")])[None],
    }
