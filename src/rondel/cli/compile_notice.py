"""The message that kernels are being compiled."""

from __future__ import annotations

import click

from rondel import kernels


def announce_compiling() -> None:
    """Print a message on standard error, once, if kernels have to be compiled."""
    kernels.when_compiling(
        lambda: click.echo("rondel: compiling for this processor, once (about 10 s) …", err=True)
    )
