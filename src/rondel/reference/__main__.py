"""`python -m rondel.reference book.txt`: train a character-level model on a text, and sample it."""

import argparse
from pathlib import Path

import numpy as np

from rondel.reference import Model, initial_parameters, make_cell
from rondel.reference.training_loop import sample, train

parser = argparse.ArgumentParser("python -m rondel.reference", description=__doc__)
parser.add_argument("text", type=Path)
parser.add_argument("--cell", choices=("rnn", "gru", "lstm"), default="lstm")
for flag, default in (("num-layers", 1), ("hidden-size", 128), ("epochs", 10)):
    parser.add_argument(f"--{flag}", type=int, default=default)
args = parser.parse_args()
try:
    text = args.text.read_text(encoding="utf-8")
except (OSError, UnicodeDecodeError) as error:
    parser.exit(1, f"cannot read {args.text}: {error}\n")
if len(text) < 100 or min(args.num_layers, args.hidden_size, args.epochs) < 1:
    parser.exit(1, "the text must have at least 100 characters, and every number be at least 1\n")
characters, tokens_N = np.unique(list(text), return_inverse=True)
cell, rng = make_cell(args.cell), np.random.default_rng(1)
model = Model(cell, initial_parameters(cell, len(characters), args.hidden_size, args.num_layers))
for step, loss in enumerate(train(model, tokens_N, args.epochs), 1):
    if step % 100 == 0 or step == 1:
        drawn = sample(model, tokens_N[:1], 200, rng, temperature=0.8)
        print(f"step {step}: {loss:.3f} nats/char\n{''.join(characters[drawn])}", flush=True)
print("".join(characters[sample(model, tokens_N[:1], 500, rng, temperature=0.8)]))
