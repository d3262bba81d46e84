"""What holds in every test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _numbers_are_as_they_were() -> Iterator[None]:
    """A fit flushes denormals while it computes; nobody may leave the thread like that."""
    yield
    assert float(np.float64(1e-300) * np.float64(1e-10)) == 1e-310, "denormals are flushed in this thread"
