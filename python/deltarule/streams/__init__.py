"""Data that does not fit into memory: read chunk by chunk, shuffled in a buffer, one chunk ahead of the training.

A new kind of source is a class derived from `source.Source` and a branch of `finding.find_source`.
"""

from __future__ import annotations

from .chunk import Chunk, hash_chunk
from .prefetch import prefetched
from .streaming import Stream, stream

__all__ = ["Chunk", "Stream", "hash_chunk", "prefetched", "stream"]
