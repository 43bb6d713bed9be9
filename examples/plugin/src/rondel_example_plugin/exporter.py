"""An export format: the arrays alone, as NumPy reads them."""

from __future__ import annotations

import io

import numpy as np

from rondel.artifact import Artifact
from rondel.exporters import Exporter, exporters


class NumpyArchive(Exporter):
    """`numpy.load` opens it."""

    help = "the arrays, as a .npz of NumPy"

    def content(self, model: Artifact, name: str, precision: str) -> bytes:
        """See `Exporter.content`."""
        written = io.BytesIO()
        np.savez_compressed(written, **model.weights)
        return written.getvalue()


exporters.register("example-npz")(NumpyArchive())
