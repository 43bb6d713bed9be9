"""A few hundred cases of `fuzz.py`, which runs thousands: no traceback, no hang, nothing silent."""

from __future__ import annotations

import pytest
from fuzz import Fuzzer

CASES, AT_A_TIME = 160, 80


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    return Fuzzer(tmp_path_factory.mktemp("fuzz"), seed=11, subjects=("numpy", "vae"))


@pytest.mark.parametrize("first", range(0, CASES, AT_A_TIME))
def test_a_damaged_folder_is_refused_or_gives_what_the_whole_one_gives(
    first: int, fuzzer: Fuzzer
) -> None:
    found = [(number, *fuzzer.case(number)) for number in range(first, first + AT_A_TIME)]
    assert [case for case in found if case[1].startswith("FAULT")] == []
    # Cases that damage nothing would all pass.
    assert sum(outcome == "refused" for _, outcome, _ in found) > AT_A_TIME / 2
