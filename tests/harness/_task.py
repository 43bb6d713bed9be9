"""Asks a model through lm-evaluation-harness: tasks of three kinds, from a file, with no network.

Prints, as JSON, the results, and what each of the model's methods answered.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from rondel.harness import RondelLM

folder, data = sys.argv[1:]


def task(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {
        "task": name,
        "output_type": kind,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": data}},
        "test_split": "test",
        "target_delimiter": "",
        **settings,
    }


choices = task(
    "choices",
    "multiple_choice",
    doc_to_text="{{context}}",
    doc_to_choice="{{choices}}",
    doc_to_target="{{label}}",
)
rolling = task(
    "rolling",
    "loglikelihood_rolling",
    doc_to_text="",
    doc_to_target="{{text}}",
    metric_list=[{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
)
written = task(
    "written",
    "generate_until",
    doc_to_text="{{context}}",
    doc_to_target="{{written}}",
    generation_kwargs={"until": ["."], "max_gen_toks": 20},
    metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
)
model = RondelLM(folder)
found = lm_eval.simple_evaluate(
    model,
    tasks=[choices, rolling, written],
    task_manager=TaskManager(include_defaults=False),
    bootstrap_iters=0,
)
assert found is not None
rows = [json.loads(line) for line in Path(data).read_text(encoding="utf-8").splitlines()]


def ask(kind: str, *arguments: Any) -> Any:
    request = Instance(request_type=kind, doc={}, arguments=arguments, idx=0)
    return getattr(model, kind)([request])[0]


answers = {
    "continued": [[ask("loglikelihood", r["context"], c) for c in r["choices"]] for r in rows],
    "rolled": [ask("loglikelihood_rolling", row["text"]) for row in rows],
    "by name": lm_eval.api.registry.get_model("rondel").__name__,
}
print(json.dumps({"results": found["results"], "answers": answers}))
