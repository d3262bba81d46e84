"""Training on a stream: chunk by chunk through the loop, checked and converted while the one before is trained on."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NamedTuple

from ..losses import CustomLoss, Loss
from ..streams.chunk import Chunk, hash_chunk
from ..streams.prefetch import prefetched
from .fit_data import Part, validation_part
from .preparing import prepare, with_class_weight

if TYPE_CHECKING:
    from ..streams import Stream
    from ..streams.streaming import Chunks
    from .network import Network
    from .saved_fit import Saved
    from .structure import Array

__all__ = ["StreamData"]


class _Piece(NamedTuple):
    """A chunk as the loop takes it."""

    part: Part | None  # None: a resumed fit has trained on it before
    digest: bytes  # of its content as it was read


class StreamData:
    """The chunks of a stream, epoch by epoch.

    Parameters
    ----------
    network : Network
    stream : Stream
    loss, class_weight, validation_data
        As in `Network.fit`.
    batch_size, shuffle, epochs
        As in `Network.fit`.
    place : tuple of int, optional
        (epochs that the network has been through, steps of the next one): where a fit is resumed.
    keeps_digest : bool
        Whether the content is hashed as it is read.
    """

    def __init__(
        self,
        network: Network,
        stream: Stream,
        *,
        loss: str | Loss | CustomLoss,
        class_weight: Mapping[Any, float] | str | None,
        validation_data: tuple[Any, ...] | None,
        batch_size: int,
        shuffle: bool,
        epochs: int,
        place: tuple[int, int] | None = None,
        keeps_digest: bool = False,
    ) -> None:
        if isinstance(class_weight, str):
            raise ValueError(
                f"class_weight={class_weight!r} with a stream: the classes would have to be counted first; give a dict "
                "of weights"
            )
        if epochs > 1 and not stream.can_restart:
            raise ValueError(
                f"epochs={epochs} with {stream!r}: an iterator can be gone through only once; pass a function that "
                "returns a new one for each epoch, such as the generator function itself, or train for one epoch"
            )
        self._network, self._stream, self._loss = network, stream, loss
        self._class_weight: Mapping[Any, float] | None = class_weight
        self._batch_size, self._shuffle = batch_size, shuffle
        self._function = None  # the user's loss of the piece under way
        self._open: ExitStack | None = None
        self._pieces: Iterator[_Piece] = iter(())
        self._pending: _Piece | None = None
        self._keeps_digest = keeps_digest
        self.digest = b""  # of all that was handed on in this epoch
        self.steps = 0  # of this epoch that were handed on
        self.beginning: list[Any] = []  # the first epoch of this fit, and the digest of its first chunk
        epoch, steps = place or (network.epochs_trained, 0)
        self._skip = steps * batch_size  # rows that a resumed fit has trained on before
        self.validation: Part | None = None
        try:
            self._begin_epoch(epoch)
            self._pending = self._next()
            while self._pending is not None and self._pending.part is None:
                self._add(self._pending)
                self._pending = self._next()
            if self._pending is None:
                raise ValueError(
                    f"{stream!r} has ended before step {steps}, where the checkpoint goes on: go on with the same data"
                )
            if place is None and keeps_digest:
                self.beginning = [epoch, self._pending.digest.hex()]
            self.training = self._example(self._pending.part)  # type: ignore[arg-type]  # the loop has seen to it
            if validation_data is not None:
                self.validation = validation_part(network, validation_data, loss, self.training.inputs)
        except BaseException:
            self.close()
            raise

    @property
    def n_samples(self) -> int | None:
        """How many samples an epoch has, where that is known."""
        return self._stream.n_samples

    def next_piece(self, epoch: int) -> tuple[Any, Array | None, Array | None] | None:
        """What the loop trains on next; None at the end of an epoch."""
        if self._open is None:
            self._begin_epoch(self._network.epochs_trained)
        piece, self._pending = self._pending or self._next(), None
        if piece is None:
            self.close()
            return None
        self._add(piece)
        assert piece.part is not None
        self.steps += -(-piece.part.inputs.n_samples // self._batch_size)
        self._function = piece.part.prepared.loss if piece.part.prepared.targets is None else None
        return piece.part.for_core(self._network)

    def loss_for_core(self) -> Any:
        """The loss by its name, or a function that looks at the targets of the piece under way."""
        if self.training.prepared.targets is not None:
            return self.training.prepared.loss
        return lambda output, samples: self._function(output, samples)  # type: ignore[misc]  # set with each piece

    def require_same(self, path: str, saved: Saved) -> None:
        """ValueError where what a checkpoint's fit has read is not what comes now."""
        self.beginning = saved.beginning_of_stream
        what, before, now = "", "", ""
        if saved.step and self._pending is not None:
            what, before = f"up to step {saved.step} of the epoch", saved.digest_of_stream
            now = self._with(self._pending).hex()  # the one that it goes on in had been handed on
        elif self.beginning and self._stream.can_restart:
            epoch, before = self.beginning
            # Not while the epoch is open, which then begins again: many an object can be gone through once at a time.
            self.close()
            what, now = "at the beginning", self._first_digest(epoch)
        if before != now:
            raise ValueError(
                f"checkpoint={path!r} is of another stream: what was read {what} has the fingerprint {before}, and now "
                f"{now}; go on with the data that it was written for, or begin anew with resume=False"
            )

    def _first_digest(self, epoch: int) -> str:
        hasher = hashlib.blake2b(digest_size=16)
        with closing(self._chunks(epoch)) as chunks:
            hash_chunk(hasher, next(chunks))
        return hasher.hexdigest()

    def fingerprint(self) -> str:
        """Of the source and of how it is read."""
        fingerprint = self._stream.fingerprint()
        if self._class_weight is None:
            return fingerprint
        weights = sorted((str(label), float(weight)) for label, weight in self._class_weight.items())
        return hashlib.blake2b(f"{fingerprint} {weights}".encode(), digest_size=16).hexdigest()

    def close(self) -> None:
        """End the epoch: its files are closed, its thread is gone."""
        if self._open is not None:
            self._open.close()
        self._open, self._pending = None, None

    def _chunks(self, epoch: int) -> Chunks:
        seed = self._network.seed
        return self._stream.open(epoch, batch_size=self._batch_size, shuffle=self._shuffle, seed=seed)

    def _begin_epoch(self, epoch: int) -> None:
        self._open, self.digest, self.steps = ExitStack(), b"", 0
        self._pieces = self._open.enter_context(prefetched(self._chunks(epoch), self._convert))

    def _next(self) -> _Piece | None:
        return next(self._pieces, None)

    def _example(self, part: Part) -> Part:
        """What the loop's memory is planned by: a batch of its own, which holds on to no chunk."""
        inputs, prepared, _ = part.first(self._network, self._batch_size)
        arrays = {name: copy.copy(getattr(prepared, name)) for name in ("targets", "weights")}
        return Part(inputs._replace(features=inputs.features.copy()), prepared._replace(**arrays), None)

    def _add(self, piece: _Piece) -> None:
        if self._keeps_digest:
            self.digest = self._with(piece)

    def _with(self, piece: _Piece) -> bytes:
        return hashlib.blake2b(self.digest + piece.digest, digest_size=16).digest()

    def _convert(self, chunk: Chunk) -> _Piece:
        """On the thread that reads ahead."""
        hasher = hashlib.blake2b(digest_size=16)
        if self._keeps_digest:
            hash_chunk(hasher, chunk)
        rows = len(chunk.X)
        if self._skip:
            skipped = min(self._skip, rows)
            self._skip -= skipped
            if skipped == rows:
                return _Piece(None, hasher.digest())
            chunk = chunk.part(skipped, rows)
        network = self._network
        inputs = network._inputs(chunk.X)
        network._build_for(inputs.features)
        prepared = prepare(network, inputs.features, chunk.y, self._loss, chunk.sample_weight, of_part=True)
        prepared = with_class_weight(network, inputs, prepared, self._class_weight, of_part=True)
        return _Piece(Part(inputs, prepared, chunk.y), hasher.digest())
