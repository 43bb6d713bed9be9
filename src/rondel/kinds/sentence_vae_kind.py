"""The sentence VAE: it encodes sentences as points of a latent space, and decodes points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rondel.cells import cells
from rondel.kinds import kinds
from rondel.kinds.arrays import (
    Arrays,
    input_width,
    language_model_arrays,
    linear_arrays,
    stack_arrays,
)
from rondel.kinds.base import Kind
from rondel.registry import Part
from rondel.settings.fields import setting, settings_of
from rondel.settings.sections import CELLS, ModelConfig, TrainingConfig

if TYPE_CHECKING:
    from rondel.data.facts import TextFacts


@dataclass(frozen=True)
class LatentSettings:
    """The shape of a sentence VAE, besides its decoder's, which has the settings of all models."""

    latent_size: int = setting(32, "dimensions of the latent space", at_least=1)
    encoder_cell: str | None = setting(None, "the encoder's cell (default: --cell)", registry=CELLS)
    encoder_layers: int | None = setting(
        None, "the encoder's layers (default: --num-layers)", at_least=1
    )
    encoder_hidden_size: int | None = setting(
        None, "units in a layer of its encoder (default: --hidden-size)", at_least=1
    )
    encoder_bidirectional: bool = setting(
        False, "a second encoder reads each sentence from its end"
    )
    latent_input: bool = setting(
        False, "give the point to the decoder with every input, not only as its first state"
    )
    longest_sentence: int | None = setting(
        None, "the most tokens of a sentence, set by the text", flag=False
    )

    @classmethod
    def of(cls, config: ModelConfig) -> LatentSettings:
        """Return the settings of a model."""
        return cls(**{name: config.own[name] for name in settings_of(cls)})


@dataclass(frozen=True)
class LatentTraining:
    """How a sentence VAE is trained; by default so that the decoder does not ignore z."""

    kl_annealing: str = setting(
        "linear",
        "how the weight of the KL term rises to --beta (linear: Bowman et al. 2016; cyclical: Fu "
        "et al. 2019)",
        choices=("none", "linear", "logistic", "cyclical"),
    )
    kl_annealing_steps: int = setting(
        2000, "steps of that rise, or of a cycle", at_least=1, idle_with=("kl_annealing", "none")
    )
    beta: float = setting(1.0, "weight of the KL term after that", at_least=0)
    word_dropout: float = setting(
        0.2,
        "probability of hiding an input token from the decoder (Bowman et al. 2016)",
        at_least=0,
        below=1,
    )
    free_bits: float = setting(
        0.2,
        "nats of KL per dimension that the loss does not penalise (Kingma et al. 2016)",
        at_least=0,
    )
    aggressive: bool = setting(
        False,
        "at first train the encoder more than the decoder, while the mutual information between "
        "points and sentences grows (He et al. 2019)",
    )
    iw_samples: int | None = setting(
        None,
        "points drawn per sentence for its importance-weighted likelihood at each validation "
        "(default: none; Burda et al. 2016)",
        at_least=1,
    )

    @classmethod
    def of(cls, config: TrainingConfig) -> LatentTraining:
        """Return the settings of a training."""
        return cls(**{name: config.own[name] for name in settings_of(cls)})


class SentenceVAE(Kind):
    """A sentence VAE (Bowman et al. 2016), by default at word level."""

    name = "sentence-vae"
    noun = "sentence VAE"
    loss_name = "negative ELBO"
    # The sentences of published experiments are at most so long.
    defaults: ClassVar[Mapping[str, Any]] = {
        "level": "word",
        "max_sentence_length": 60,
        "batch_size": 32,
    }
    model_settings, training_settings = LatentSettings, LatentTraining
    takes_weights = False
    prepare = Part("rondel.data.text_preparation:prepare_sentences")
    batches = Part("rondel.data.sentence_batches:shuffled_batches")
    text_facts = Part("rondel.data.sentence_batches:facts_of_sentences")
    steps_per_epoch = Part("rondel.data.sentence_batches:steps_per_epoch")
    module = Part("rondel.models.sentence_vae_module:SentenceVAE")
    learner = Part("rondel.training.sentence_vae_learner:build_learner")

    api_class = Part("rondel.api.sentence_vae:SentenceVAE")
    sample_command = Part("rondel.cli.sentence_vae_options:write_samples")
    eval_command = Part("rondel.cli.eval_sentence_vae:evaluate_sentences")
    read_request = Part("rondel.serving.requests:read_sentences")
    text_reader = Part("rondel.inspection.sentence_reader:SentenceReader")
    show_sample = Part("rondel.training.sentence_vae_samples:written_sentences")
    drawn_with_loss: ClassVar[Mapping[str, str]] = {
        "nll": "reconstruction",
        "iw_nll": "importance-weighted",
    }
    drawn_below: ClassVar[Mapping[str, str]] = {
        "kl": "KL",
        "mutual_information": "mutual information",
    }
    drawn_counts: ClassVar[Mapping[str, str]] = {"active_units": "active units"}

    def counted(self, facts: TextFacts) -> Mapping[str, Any]:
        """See `Kind.counted`."""
        return {**super().counted(facts), "longest_sentence": facts.longest_sentence}

    def arrays(self, config: ModelConfig) -> Arrays:
        """Yield a language model's arrays, those of one or two encoders, and of the maps around z.

        Z latent size, D size of the encoders' summary of a sentence, S states, L layers:
        `latent.mean` and `latent.log_variance` are (Z, D), `latent.state` is (S·L·H, Z).
        """
        latent = LatentSettings.of(config)
        size = latent.encoder_hidden_size or config.hidden_size
        layers = latent.encoder_layers or config.num_layers
        cell = latent.encoder_cell or config.cell
        stacks = ["encoder", "encoder_backward"][: 1 + latent.encoder_bidirectional]
        yield from language_model_arrays(config, latent.latent_size * latent.latent_input)
        for name in stacks:
            yield from stack_arrays(name, cell, input_width(config), size, layers)
        for name in ("mean", "log_variance"):
            yield from linear_arrays(f"latent.{name}", latent.latent_size, size * len(stacks))
        states = len(cells[config.cell].states) * config.num_layers * config.hidden_size
        yield from linear_arrays("latent.state", states, latent.latent_size)

    def loss_unit(self, token_noun: str) -> str:
        """See `Kind.loss_unit`."""
        return "sentence"

    def loss_note(self, token_noun: str) -> str:
        """See `Kind.loss_note`."""
        return self.loss_name


kinds.register(SentenceVAE.name)(SentenceVAE())
