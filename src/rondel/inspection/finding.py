"""Which units go with which features of the text, and how sure that is.

A unit is scored on the first half of the text. What is found there must

- be larger than what chance gives: the feature is moved along the text by many random distances
  (circular shifts keep how either goes on from token to token, and break what they have to do with
  each other), and the largest score of any unit on any feature, each in standard deviations of its
  feature's chance, is what a find is held against (Westfall and Young 1993, the maximum statistic);
- be larger than what units that learnt nothing do: those of the same model with every weight matrix
  shuffled, as much as is known about the last few tokens is known to any of them;
- be as large in the second half, which had no part in the finding.

Shapes: N tokens, U units, K features.
"""

from __future__ import annotations

from dataclasses import dataclass

from rondel.inspection.trace import Unit


@dataclass(frozen=True)
class Find:
    """A unit that goes with a feature.

    `measure` says what `value` (in the first half of the text) and `confirmed_value` (in the other)
    are: "auc", how often the unit is higher where the feature holds than where it does not, below
    0.5 if it is lower there; "r", Pearson's; "sine", the correlation with the sine of `wavelength`
    tokens that fits best. `p_value` is corrected for all units and features looked at.
    """

    unit: Unit
    feature: str
    measure: str
    value: float
    confirmed_value: float
    p_value: float
    wavelength: float | None = None

    @property
    def strength(self) -> float:
        """From 0 to 1, on one scale for all measures: |r|, or |2 AUC - 1|."""
        return abs(2 * self.value - 1 if self.measure == "auc" else self.value)
