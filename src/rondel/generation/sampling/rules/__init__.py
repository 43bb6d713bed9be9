"""Sampling rules, one a file: each maps logits to logits, so that any of them go together."""

from __future__ import annotations

from rondel.generation.sampling.rules.base import Rule, active_rules, parameter
from rondel.registry import Registry

rules: Registry[type[Rule]] = Registry("sampling rule", "rondel.generation.sampling.rules")

__all__ = ["Rule", "active_rules", "parameter", "rules"]
