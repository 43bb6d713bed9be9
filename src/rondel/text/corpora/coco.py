"""Captions of the COCO data set's photographs (Lin et al. 2014), for word level."""

from __future__ import annotations

from rondel.text.corpora import corpora
from rondel.text.corpora.base import Download

corpora.register("coco")(
    Download(
        name="coco",
        description="25,100 captions of photographs, one a line",
        size=1_336_255,
        licence="CC BY 4.0",
        address="https://raw.githubusercontent.com/pbloem/language-models/master/datasets/coco.valannotations.txt",
        sha256="3ec2af3c536b31e6ebb30f32a4326f97ba1793e70e52f5f18f51c3cf3229634a",
        file_name="coco-captions.txt",
    )
)
