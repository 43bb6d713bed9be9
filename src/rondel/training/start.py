"""Start a run on a text, or resume one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rondel import artifact
from rondel.artifact import Artifact
from rondel.data.sources import MemoryText
from rondel.data.store import TokenStore
from rondel.data.text_preparation import check_sizes
from rondel.data.text_source import Preparation, TextSource
from rondel.errors import InputError, ModelFolderError, require
from rondel.files import write_atomically
from rondel.folder_files import check_is_file
from rondel.kinds import kind_of
from rondel.settings import (
    RunConfig,
    Settings,
    TrainingConfig,
    flag_name,
)
from rondel.settings.catalogue import all_settings, checked
from rondel.settings.toml import read_run_config, to_toml
from rondel.softmaxes import softmaxes
from rondel.text.storing import WatchReading, unwatched_reading
from rondel.text.tokenizers import Tokenizer, train_on_blocks
from rondel.threads import set_thread_defaults
from rondel.training import resuming
from rondel.training.folder import RunFolder, check_folder, create, reopen
from rondel.training.learner import Learner
from rondel.training.progress import Progress
from rondel.training.ranks import ALONE, Ranks, launch
from rondel.training.resolve import (
    LIMITS,
    choose,
    chosen_size,
    resolve,
    resolve_text,
    with_intervals,
)
from rondel.training.run import (
    CHANGEABLE,
    RESUME,
    SETTINGS,
    TOKENS,
    Run,
    settled,
    snapshot_values,
)
from rondel.training.sizing import Machine
from rondel.training.snapshots import read_launch, read_snapshot, write_snapshot

if TYPE_CHECKING:
    from rondel.training.warm_start import WarmStart


def configure(
    given: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    warm_start: WarmStart | None = None,
    source: TextSource | None = None,
) -> Settings:
    """Return the settings of a new run: those `given`, else `defaults` (from a file).

    Settings fixed by a prepared corpus or a warm start come before the defaults. Raises
    `InputError` for settings that contradict those, are unknown, or have no effect in the run.
    """
    decided = dict(given)
    for fixed in (
        source.fixed() if source else {},
        warm_start.fixed(decided) if warm_start else {},
    ):
        for name, value in fixed.items():
            if decided.get(name, value) not in (value, None):
                raise InputError(
                    f"{flag_name(name)} is {value!r} in what this run starts from, "
                    f"not {decided[name]!r}; leave that setting out"
                )
        decided |= fixed
    settings = Settings(decided, defaults)
    kind = choose(settings).kind
    if warm_start and warm_start.brings_weights and not kind.takes_weights:
        raise InputError(
            f"a {kind.noun} starts from nothing but its text; leave --init-from and "
            "--word-vectors out"
        )
    return settings


def begin(
    text: str | TextSource,
    given: Settings,
    folder: Path,
    *,
    warm_start: WarmStart | None = None,
    overwrite: bool = False,
    watch: WatchReading = unwatched_reading,
    ranks: Ranks = ALONE,
) -> Run:
    """Prepare a text and start a run in a new folder, which is a whole model folder at once.

    A model that it replaces stays until the first save. `ranks` are the processes that train
    together (`rondel.training.together`). Raises `InputError` for a text or settings that cannot be
    used, or if `folder` is taken.
    """
    check_folder(folder, overwrite)
    chosen, reading = choose(given), resolve_text(given)
    if chosen.backend == "torch":
        require("torch", "train")
    source = MemoryText(text) if isinstance(text, str) else text
    with create(folder, overwrite) as home:
        prepared = source.prepare(
            Preparation(
                chosen.kind,
                reading,
                given.get("seed", TrainingConfig.seed),
                home.place / TOKENS,
                warm_start.tokenizer if warm_start else train_on_blocks,
                watch,
            )
        )
        machine = Machine(
            given.get("device", TrainingConfig.device), given.get("threads"), ranks.size
        )
        size = chosen_size(given, prepared.facts, machine)
        softmax = softmaxes[chosen.names["softmax"]]
        if softmax.by_frequency:
            counts_V = prepared.store.counts("train", prepared.facts.vocab_size)
            given = given.fill(softmax.counted(counts_V))
        config = resolve(given, prepared.facts, size)
        check_sizes(prepared.facts, config)
        ranks.check(config.training)
        if "exchange" in given.by_hand and not (ranks.size > 1 or launch()):
            raise InputError("--exchange is for processes that torchrun started; leave it out")
        learner = build_learner(config, prepared.tokenizer)
        if warm_start:
            counts_V = prepared.store.counts("train", config.model.vocab_size)
            fresh = learner.weights()
            learner.load_weights(warm_start.weights(fresh, prepared.tokenizer, counts_V))
        progress = Progress(chosen.kind.steps_per_epoch(prepared.facts, config.training))
        model = Artifact(
            config.model,
            prepared.tokenizer,
            learner.weights(),
            progress.summary(),
            prepared.excerpts,
        )
        artifact.write_parts(home.place, model)
        write_atomically(home.place / SETTINGS, to_toml(config).encode())
        values = snapshot_values(config, progress)
        write_snapshot(home.place / RESUME, learner.snapshot(), values)
    store = dataclasses.replace(prepared.store, folder=home.place / TOKENS)
    run = Run(home, config, model.tokenizer, model.excerpts, store, learner, progress)
    run.notes = prepared.notes(config.text)
    if size:
        run.notes.append(
            f"{size}: chosen for {prepared.facts.train:,} tokens and {config.training.minutes:g} "
            f"minutes at {machine.operations_per_second / 1e9:.0f} GFLOP/s"
        )
    if warm_start:
        run.notes.append(warm_start.report)
    return run


def resume(folder: Path, changes: dict[str, Any], ranks: Ranks = ALONE) -> Run:
    """Resume a run from its last save.

    `changes` may name the settings in `CHANGEABLE`; a limit counts from the start of the run, and
    replaces all its limits. Raises `InputError` for any other setting, or if the run is over or
    another process trains it; `ModelFolderError` if the folder is not a run or is damaged.
    """
    _refuse_changes(folder, changes)
    is_restart = is_of_this_launch(folder)
    with reopen(folder) as home:
        run = follow(home, changes)
        ranks.check(run.config.training)
        # A run killed between its last step and its last validation still has to validate.
        reason = run.reason_to_stop()
        if reason and not run.progress.loss_count and not is_restart:
            raise InputError(_complete(run, reason))
        write_atomically(folder / SETTINGS, to_toml(run.config).encode())
        return run


def is_of_this_launch(folder: Path) -> bool:
    """Return whether this launch of `torchrun` trained in the folder and was restarted."""
    return bool(launch()) and read_launch(folder / RESUME) == launch()


def follow(home: RunFolder, changes: Mapping[str, Any] = MappingProxyType({})) -> Run:
    """Load the run in a folder from its last save, without writing to it; see `resume`."""
    folder = home.place
    model = artifact.load(folder)
    if not (folder / SETTINGS).is_file():
        raise ModelFolderError(
            f"{folder} is a model but not a run ({SETTINGS} is missing); "
            f"to train on from its weights, use --init-from {folder}"
        )
    store = TokenStore.open(folder / TOKENS)
    snapshot, values = read_snapshot(folder / RESUME)
    progress, began_with = resuming.read_values(values, folder / RESUME)
    config = _recorded_config(folder, model, began_with)
    resuming.check_text(store, model, config, progress)
    resuming.check_places(folder)
    if any(name in changes for name in LIMITS):
        changes = {**dict.fromkeys(LIMITS), **changes}
    training = dataclasses.replace(config.training, **checked(changes))
    training = with_intervals(training, progress.steps_per_epoch)
    config = dataclasses.replace(config, model=model.config, training=training)
    learner = build_learner(config, model.tokenizer)
    resuming.restore(learner, snapshot, folder / RESUME)
    return Run(home, config, model.tokenizer, model.excerpts, store, learner, progress)


def _complete(run: Run, reason: str) -> str:
    at = run.progress
    more = "a higher --epochs, --steps or --minutes, counted from its beginning"
    if reason == "stopped early":
        more = f"--early-stopping of more than {at.without_progress} validations"
    return (
        f"{run.folder} is complete ({reason} at step {at.step:,}, epoch {at.epoch:.2f}, "
        f"{at.seconds / 60:.1f} minutes); to train on, give it {more}"
    )


def build_learner(config: RunConfig, tokenizer: Tokenizer) -> Learner:
    """Build the learner for a configuration; `MissingExtraError` if it needs PyTorch."""
    if config.training.backend == "numpy":
        from rondel.training.numpy_learner import NumpyLearner

        return NumpyLearner(config)
    set_thread_defaults()
    require("torch", "train")
    learner: Learner = kind_of(config.model).learner(config, tokenizer)
    return learner


def _recorded_config(folder: Path, model: Artifact, began_with: dict[str, Any]) -> RunConfig:
    path = folder / SETTINGS
    check_is_file(path)
    config = read_run_config(path)
    if config.model != model.config:
        raise ModelFolderError(
            f"{path} and {folder / artifact.MODEL} disagree about the model; "
            f"undo the change to {SETTINGS}"
        )
    for name, value in settled(config).items():
        before = began_with.get(name, all_settings()[name].field.default)
        if value != before:
            raise ModelFolderError(
                f"{path}: {name} is {value!r}, and the run began with {before!r}; "
                "set it back, since a resumed run keeps its settings"
            )
    return config


def _refuse_changes(folder: Path, changes: dict[str, Any]) -> None:
    for name in changes:
        if name not in CHANGEABLE:
            raise InputError(
                f"a resumed run keeps its settings, so it cannot change {name}; leave it out, or "
                f"start a new run with --init-from {folder}"
            )
