"""A model's state after a text, kept in a file: where texts that continue it start.

Shapes: N tokens, V vocabulary, L layers, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.numpy

from rondel import artifact
from rondel.engine import Engine, EngineState
from rondel.engine.base import Floats, Ids
from rondel.errors import InputError, ModelFolderError
from rondel.files import write_atomically
from rondel.folder_files import all_arrays, checksum, open_arrays
from rondel.generation.prime import AfterSpace, Start
from rondel.text.tokenizers import Tokenizer

FORMAT, VERSION = "rondel-state", "1"
IDS, LOGITS, STATE = "ids", "logits", "state."


@dataclass(frozen=True, eq=False)
class State:
    """A model after a text that it has read, however long: a few kilobytes, and the text's tokens.

    `LanguageModel.read` makes one. It belongs to the model that made it::

        model.read(long_text).save("after.safetensors")
        model.sample(state=rondel.State.load("after.safetensors"), seed=1)
    """

    model: str
    """The checksum of the model's arrays and vocabulary."""
    ids: Ids
    """The text's tokens (N,)."""
    logits_V: Floats
    """Of the next token."""
    arrays: EngineState
    """The engine's state, (L, 1, H) for each of the cell's states."""
    after_space: bool
    """Whether the text ends with a space that is no token of it."""

    @classmethod
    def of(cls, model: str, start: Start) -> State:
        """The state of a model, which a checksum names, where texts start."""
        after_space = isinstance(start.decoder, AfterSpace)
        return cls(model, start.ids, start.logits_V, start.state, after_space)

    def start(self, model: str, engine: Engine, tokenizer: Tokenizer) -> Start:
        """Where texts start; raises `InputError` if the state is not of this model."""
        shapes = [part.shape for part in engine.initial_state()]
        fits = (
            self.model == model
            and [part.shape for part in self.arrays] == shapes
            and self.logits_V.shape == (tokenizer.vocab_size,)
            and self.ids.size > 0
            and 0 <= self.ids.min() <= self.ids.max() < tokenizer.vocab_size
        )
        if not fits:
            raise InputError(
                "the state is of another model; have this model read the text (rondel sample "
                "--prime-file FILE --save-state, or model.read)"
            )
        decoder = tokenizer.decoder()
        for token in self.ids.tolist():
            decoder.push(token)
        decoder.finish()
        if self.after_space:
            decoder = AfterSpace(decoder)
        return Start(self.ids, self.logits_V, self.arrays, decoder)

    def save(self, path: str | Path) -> None:
        """Write it as a safetensors file; raises `InputError` if there is one already."""
        path = Path(path)
        check_free(path)
        arrays = {IDS: self.ids.astype("int32"), LOGITS: self.logits_V}
        arrays.update({f"{STATE}{n}": part.copy() for n, part in enumerate(self.arrays)})
        header = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "after_space": str(self.after_space),
        }
        header["digest"] = artifact.digest(arrays, checksum(header))
        try:
            write_atomically(path, safetensors.numpy.save(arrays, metadata=header))
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read what `save` wrote; raises `ModelFolderError` if the file is damaged or none."""
        path = Path(path)
        with open_arrays(path) as file:
            header, arrays = dict(file.metadata() or {}), all_arrays(file, path)
        digest = header.pop("digest", None)
        if header.get("format") != FORMAT:
            raise ModelFolderError(f"{path} is no state that rondel saved; make one (--save-state)")
        if header.get("version") != VERSION:
            raise ModelFolderError(f"{path} is of another version of rondel; make it again")
        if digest != artifact.digest(arrays, checksum(header)):
            raise ModelFolderError(f"{path} was changed or damaged after it was written")
        state = tuple(arrays[f"{STATE}{n}"] for n in range(len(arrays) - 2))
        after_space = header["after_space"] == str(True)
        return cls(header["model"], arrays[IDS], arrays[LOGITS], state, after_space)


def check_free(path: Path) -> None:
    """Raise `InputError` if there is something at the path of a state to be saved."""
    if path.exists():
        raise InputError(f"{path} is there already; name another file")
