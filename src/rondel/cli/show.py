"""`rondel show`: print a model's architecture and training progress."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(model: Path, as_json: bool) -> None:
    """Print the architecture and training progress of the model in the folder MODEL."""
    from rondel import artifact

    loaded = artifact.load(model)
    facts = _facts(model, loaded)
    if as_json:
        click.echo(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            shown = f"{value:,}" if isinstance(value, int) else value
            click.echo(f"{name.replace('_', ' '):<{width}}  {shown}")


def _facts(folder: Path, model: Any) -> dict[str, Any]:
    from rondel import artifact
    from rondel.artifact import describe_model
    from rondel.kinds import kind_of
    from rondel.training.run import BEST, SETTINGS
    from rondel.units import clock, describe_loss

    token, progress, kind = model.tokenizer.token_noun, model.progress, kind_of(model.config)

    def loss(value: float | None) -> str | None:
        if value is None:
            return None
        return f"{describe_loss(value, kind.loss_unit(token))}, {kind.loss_note(token)}"

    best = folder / BEST
    best_progress = artifact.read_progress(best) if artifact.is_model(best) else {}
    return {
        "model": f"{model.config.model}, {describe_model(model.config)}",
        "parameters": sum(array.size for array in model.weights.values()),
        "level": model.tokenizer.level,
        "vocabulary": model.tokenizer.vocab_size,
        "step": progress.get("step"),
        "epoch": progress.get("epoch"),
        "tokens_read": progress.get("tokens"),
        "time": clock(progress["seconds"]) if "seconds" in progress else None,
        "train_loss": loss(progress.get("train_loss")),
        "val_loss": loss(progress.get("val_loss")),
        "best_val_loss": loss(best_progress.get("val_loss")),
        "best_step": best_progress.get("step"),
        "settings": str(folder / SETTINGS) if (folder / SETTINGS).is_file() else None,
    }
