"""Reading other tools' tokenizers: Hugging Face's `tokenizer.json` and SentencePiece models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rondel.errors import InputError, require
from rondel.files import refuse_device
from rondel.text.subwords.learning import EXTRA
from rondel.text.subwords.spelling import KINDS

JSON = "tokenizer.json"
MODELS = "*.model"
# What some tokenizers lose of a text, with a text that shows it.
PROBES = {
    "capital letters": "The Cat",
    "white space at either end": " a ",
    "several spaces": "a  b",
    "tabs": "a\tb",
    "line breaks": "a\nb\n\nc",
    "accents and ligatures as they were typed": "e\u0301 é ﬁ",
    "characters that are rare": "\u2603 \U0001f469\u200d\U0001f4bb \u16a0 \x07",
    "punctuation as it stands": "don't ( a , b ) .",
}


def read_tokenizer(path: Path) -> dict[str, Any]:
    """Read the tokenizer in a file, or in a folder that has one, as JSON values.

    Special tokens, padding, truncation and dropout are turned off. A `tokenizer.json` of rondel is
    returned unchanged. Raises `InputError` if there is none, or it cannot be read.
    """
    file = _file_in(path) if path.is_dir() else path
    try:
        refuse_device(str(file))
        data = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file or folder; check the name") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file") from None
    if data.lstrip()[:1] != b"{":
        return from_sentencepiece(data, file)
    try:
        state = json.loads(data)
    except ValueError as error:
        raise InputError(f"{file} is no tokenizer.json ({error}); get a whole copy of it") from None
    if "level" in state:
        return dict(state)
    model = state.get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise InputError(
            f"{file} is no tokenizer.json: it has no vocabulary; name the file that Hugging Face's "
            "tokenizers saves"
        )
    if model.get("type", "BPE") not in KINDS:
        raise InputError(
            f"{file} is a tokenizer of kind {model['type']!r}; rondel reads {', '.join(KINDS)} "
            "(for whole words, leave it and use --level word)"
        )
    if model.get("dropout"):
        state = {**state, "model": {**model, "dropout": None}}
    return {**state, "truncation": None, "padding": None, "post_processor": None}


def losses(tokenizer: Any) -> list[str]:
    """Return what texts lose if a tokenizer (of class `Tokenizer`) encodes and decodes them."""
    return [
        name for name, text in PROBES.items() if tokenizer.decode(tokenizer.encode(text)) != text
    ]


def _file_in(folder: Path) -> Path:
    found = [folder / JSON] if (folder / JSON).is_file() else sorted(folder.glob(MODELS))
    if len(found) != 1:
        many = f"more than one {MODELS}; name one" if found else f"no {JSON} and no {MODELS} in it"
        raise InputError(f"{folder}: there is {many}")
    return found[0]


def from_sentencepiece(data: bytes, file: Path) -> dict[str, Any]:
    """Convert a SentencePiece model to a `tokenizer.json` that gives the same tokens.

    Raises `InputError` if it is not such a model, or neither BPE nor unigram.
    """
    proto = _parsed(data, file)
    kinds = {1: _unigram, 2: _bpe}
    if proto.trainer_spec.model_type not in kinds or proto.trainer_spec.treat_whitespace_as_suffix:
        raise InputError(
            f"{file} is a SentencePiece model of words or characters, or with spaces after words; "
            "give one of BPE or unigram with the usual spaces, or use --level word or char"
        )
    spec = proto.normalizer_spec
    symbols = proto.trainer_spec.model_type == 2 and _user_defined(proto)
    if symbols and spec.remove_extra_whitespaces:
        raise InputError(
            f"{file} is a BPE model with symbols of its user's that takes spaces away, which "
            f"{JSON} cannot say; give its {JSON}, if there is one"
        )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": symbols or [],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(spec)},
        # Split into words if white space is always one space, which then begins a word.
        "pre_tokenizer": _SPLIT if spec.remove_extra_whitespaces else None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": _decoders(spec)},
        "model": kinds[proto.trainer_spec.model_type](proto),
    }


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_SPACE = "\u2581"
_SPLIT = {
    "type": "Split",
    "pattern": {"String": _SPACE},
    "behavior": "MergedWithNext",
    "invert": False,
}


def _parsed(data: bytes, file: Path) -> Any:
    protobuf = require("google.protobuf.message", EXTRA)
    pb2 = require("sentencepiece.sentencepiece_model_pb2", EXTRA)
    proto = pb2.ModelProto()
    try:
        proto.ParseFromString(data)
    except protobuf.DecodeError:
        proto = None
    if proto is None or not proto.pieces:
        raise InputError(
            f"{file} is neither a tokenizer.json nor a SentencePiece model; name one of these"
        )
    return proto


def _unigram(proto: Any) -> dict[str, Any]:
    highest = max((p.score for p in proto.pieces if p.type == NORMAL), default=0.0)
    # The score that SentencePiece gives to user-defined symbols: the best.
    vocab = [
        [p.piece, len(p.piece) * highest - 0.1 if p.type == USER_DEFINED else p.score]
        for p in proto.pieces
    ]
    return {
        "type": "Unigram",
        "unk_id": proto.trainer_spec.unk_id,
        "vocab": vocab,
        "byte_fallback": proto.trainer_spec.byte_fallback,
    }


def _bpe(proto: Any) -> dict[str, Any]:
    ids = {p.piece: i for i, p in enumerate(proto.pieces)}
    merges = []
    for whole in proto.pieces:
        if whole.type in (CONTROL, UNUSED, BYTE, UNKNOWN):
            continue
        pairs = [(whole.piece[:n], whole.piece[n:]) for n in range(1, len(whole.piece))]
        known = sorted((ids[a], ids[b], a, b) for a, b in pairs if a in ids and b in ids)
        merges += [(-whole.score, a, b) for _, _, a, b in known]
    merges.sort(key=lambda merge: merge[0])
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": proto.pieces[proto.trainer_spec.unk_id].piece,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": proto.trainer_spec.byte_fallback,
        "ignore_merges": False,
        "vocab": ids,
        "merges": [[a, b] for _, a, b in merges],
    }


def _user_defined(proto: Any) -> list[dict[str, Any]]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return [
        {"id": i, "content": p.piece, **flags}
        for i, p in enumerate(proto.pieces)
        if p.type == USER_DEFINED
    ]


def _normalizers(spec: Any) -> list[dict[str, Any]]:
    import base64

    found: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode()
        found.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if spec.remove_extra_whitespaces:
        found.append({"type": "Replace", "pattern": {"Regex": r"\A +| +\z| +(?= )"}, "content": ""})
    if spec.add_dummy_prefix:
        found.append({"type": "Prepend", "prepend": _SPACE})
    return [*found, {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}]


def _decoders(spec: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if spec.add_dummy_prefix:
        found.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return found
