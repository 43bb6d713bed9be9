"""Keras in its own environment: trains when told to, on standard input, and says how long it took.

Run by `frameworks.py`; needs Keras and NumPy alone, and knows nothing of rondel.

    check FILE   the model's logits on the inputs, into FILE
    time N       train on N batches; prints the seconds
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np


def build(weights: dict[str, np.ndarray], learning_rate: float) -> keras.Model:
    """Embedding, LSTM, Dense, with the weights that `nn.LSTM` would have."""
    vocabulary, width = weights["embedding.weight"].shape
    hidden = weights["core.weight_hh_l0"].shape[1]
    model = keras.Sequential(
        [
            keras.layers.Embedding(vocabulary, width),
            keras.layers.LSTM(hidden, return_sequences=True),
            keras.layers.Dense(vocabulary),
        ]
    )
    model.build((None, None))
    # Keras has the same order of gates, one bias, and matrices to multiply by from the right.
    model.set_weights(
        [
            weights["embedding.weight"],
            weights["core.weight_ih_l0"].T,
            weights["core.weight_hh_l0"].T,
            weights["core.bias_ih_l0"] + weights["core.bias_hh_l0"],
            weights["head.weight"].T,
            weights["head.bias"],
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def main() -> None:
    given = dict(np.load(sys.argv[1]))
    inputs_NBT, targets_NBT = given.pop("inputs"), given.pop("targets")
    model = build(given, float(given.pop("learning_rate")))
    batch, count = inputs_NBT.shape[1], len(inputs_NBT)
    for line in sys.stdin:
        command, argument = line.split(maxsplit=1)
        if command == "check":
            logits = model.predict(inputs_NBT[0], batch_size=batch, verbose=0)
            np.save(argument.strip(), logits)
            answer = {"backend": keras.backend.backend(), "keras": keras.__version__}
        else:
            wanted = int(argument)
            whole = np.resize(np.arange(count), wanted)
            x, y = (part[whole].reshape(wanted * batch, -1) for part in (inputs_NBT, targets_NBT))
            begin = time.perf_counter()
            model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)
            answer = {"seconds": time.perf_counter() - begin}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if not Path(sys.argv[1]).is_file():
        sys.exit(f"{sys.argv[1]}: no such file")
    main()
