"""A network together with what its columns mean: it takes rows of a table as they are, and answers in their terms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..names import did_you_mean
from ..network import Network, files
from .columns import InputColumn, encode
from .description import Description, from_json, to_json
from .reading import open_table
from .table import Table
from .target import ClassTarget, Target

__all__ = ["METADATA_KEY", "TableModel"]

METADATA_KEY = "deltarule_table"


@dataclass(frozen=True)
class TableModel:
    """What `python -m deltarule train` saves, for use in Python.

    Attributes
    ----------
    network : Network
        Of encoded columns.
    columns : tuple of NumberColumn or TextColumn
        What each column of a table becomes, in the order of the network's inputs.
    target : ClassTarget or NumberTarget
        What is predicted.
    n_columns : int
        Of the table that it was trained on.
    named : bool
        Whether that table had names.

    Examples
    --------
    >>> import deltarule as dr, tempfile, pathlib
    >>> from deltarule.tables import TableModel, learn, open_table
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("length,colour,kind\\n1,red,rose\\n2,white,rose\\n5,red,lily\\n6,white,lily\\n")
    >>> table = open_table(str(path))
    >>> lesson = learn(table, "kind")
    >>> network = dr.Network([dr.Dense(2)], dtype="float64")
    >>> _ = network.fit(lesson.X, lesson.y, loss="cross_entropy", optimizer=dr.Adam(0.1), epochs=100)
    >>> model = TableModel(network, lesson.columns, lesson.target, len(table.names), table.named)
    >>> [column.width for column in model.columns]  # a number, and a text of two categories
    [1, 2]
    >>> X, notes = model.encode(table)
    >>> model.answers(X)
    ['rose', 'rose', 'lily', 'lily']
    """

    network: Network
    columns: tuple[InputColumn, ...]
    target: Target
    n_columns: int
    named: bool

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, with the columns as metadata of the file, completely or not at all."""
        description = Description(self.columns, self.target, self.n_columns, self.named)
        files.save(self.network, path, {METADATA_KEY: to_json(description)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TableModel:
        """Read what `save` has written.

        Raises
        ------
        OSError, ValueError
            There is no such file, or it holds anything else, or contradicts itself.
        """
        name = os.fspath(path)
        text = files.read_metadata(path).get(METADATA_KEY)
        if text is None:
            Network.load(path)  # what is wrong with it comes first
            raise ValueError(
                f"{name!r} does not say which columns it takes: it was not written by `deltarule train`; use "
                "deltarule.Network.load in Python"
            )
        try:
            description = from_json(text)
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None
        network = Network.load(path)
        inputs, target = sum(column.width for column in description.columns), description.target
        if network.input_shape != inputs or network._last.units != target.outputs:
            raise ValueError(f"{name!r} contradicts itself about its columns, the file is damaged: train again")
        return cls(network, *description)

    def open(self, path: str, delimiter: str | None = None) -> Table:
        """Open a table of rows like those that the model was trained on."""
        names = [column.name for column in self.columns] if self.named else []
        return open_table(path, delimiter=delimiter, expected=names)

    def encode(self, table: Table) -> tuple[npt.NDArray[np.float64], list[str]]:
        """The network's inputs for each row, and notes about cells that could not be taken as they are."""
        positions, _ = self._locate(table)
        found = table.read(positions, self._texts(positions, None))
        return encode(self.columns, [found[position] for position in positions], table)

    def encode_with_target(self, table: Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any], list[str]]:
        """Inputs, targets and notes; ValueError where the table has no target."""
        positions, place = self._locate(table)
        if place is None:
            raise ValueError(f"{table.source} has no column {self.target.name!r}, the target: add it, or use predict")
        found = table.read([*positions, place], self._texts(positions, place))
        y = self.target.encode(found[place], table)
        X, notes = encode(self.columns, [found[position] for position in positions], table)
        return X, y, notes

    def output(self, X: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """The network's output for encoded rows, all of it finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return _finite(self.network.predict(X))

    def answers(self, X: npt.NDArray[np.float64]) -> list[Any]:
        """What is predicted for encoded rows: labels, or numbers in the units of the target."""
        output = self.output(X)
        if isinstance(self.target, ClassTarget):
            return self.target.decode(output)
        return list(_finite(self.target.decode(output).reshape(-1, 1))[:, 0])

    def probabilities(self, X: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """The probability of each class for encoded rows."""
        if not isinstance(self.target, ClassTarget):
            raise ValueError(f"the model predicts {self.target.name!r}, a number: it has no probabilities")
        with np.errstate(over="ignore", invalid="ignore"):
            return _finite(self.network.predict_proba(X))

    def evaluate(self, X: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> dict[str, float]:
        """The loss of encoded rows, as training has it; accuracy, f1 and auc, or mae (in the target's units) and r2."""
        self.output(X)  # what is not finite is refused
        target = self.target
        metrics = ["accuracy", "f1", "auc"] if isinstance(target, ClassTarget) else ["mae", "r2"]
        found = self.network.evaluate(X, y, loss=target.loss, metrics=metrics)
        return found if isinstance(target, ClassTarget) else {**found, "mae": found["mae"] * target.scale}

    def _texts(self, positions: Sequence[int], target: int | None) -> set[int]:
        """Where text is read word for word: a country NA is not a missing number."""
        texts = {place for place, column in zip(positions, self.columns, strict=True) if column.kind == "text"}
        of_target = isinstance(self.target, ClassTarget) and not self.target.numbers
        return texts | ({target} if target is not None and of_target else set())

    def _locate(self, table: Table) -> tuple[list[int], int | None]:
        """The columns' positions in a table, by name where both know names, and that of the target if it is there."""
        names = [column.name for column in self.columns]
        if self.named and table.named:
            for name in names:
                if name not in table.names:
                    hint = did_you_mean(name, table.names[:50]).replace("choose one of", "its columns are")
                    raise ValueError(f"{table.source} has no column {name!r}, which the model takes: {hint}")
            target = table.find(self.target.name) if self.target.name in table.names else None
            return [table.find(name) for name in names], target
        positions = [column.position for column in self.columns]
        if len(table.names) == self.n_columns:
            return positions, self.target.position
        if len(table.names) == self.n_columns - 1:  # all but the target
            return [place - (place > self.target.position) for place in positions], None
        if len(table.names) == len(positions):
            return list(range(len(positions))), None
        raise ValueError(
            f"{table.source} has {len(table.names)} columns but the model takes {len(names)}: "
            f"{', '.join(names[:20])}; by position it needs as many, or the {self.n_columns} that it was trained on"
        )


def _finite(output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    finite = np.isfinite(output).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"the prediction for sample {int(finite.argmin()) + 1} is not finite: are its numbers far from those of "
            "training?"
        )
    return output
