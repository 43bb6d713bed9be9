"""What the user is told while kernels are compiled."""

from __future__ import annotations

import click

from rondel import kernels


def tell_of_compiling() -> None:
    """Say so on standard error, once, if anything is to be compiled before the work begins."""
    kernels.when_compiling(
        lambda: click.echo("rondel: compiling for this processor, once (about 10 s) …", err=True)
    )
