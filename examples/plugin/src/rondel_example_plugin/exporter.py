"""An export format: the arrays alone, as NumPy reads them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from rondel.artifact import Artifact
from rondel.exporters import Exporter, exporters


class NumpyArchive(Exporter):
    """`numpy.load` opens it."""

    help = "the arrays, as a .npz of NumPy"

    def content(self, model: Artifact, name: str, precision: str) -> bytes:
        """See `Exporter.content`."""
        written = io.BytesIO()
        arrays: dict[str, Any] = dict(model.weights)
        np.savez_compressed(written, **arrays)
        return written.getvalue()


exporters.register("example-npz")(NumpyArchive())
