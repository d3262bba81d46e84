"""What is public is explained: numpydoc, with the sections that apply."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import deltarule as dr

OBJECTS = {name: getattr(dr, name) for name in dr.__all__ if not name.startswith("__")}
CALLABLES = {name: thing for name, thing in OBJECTS.items() if callable(thing)}


def methods() -> dict[str, Callable[..., Any]]:
    """Public methods and properties of public classes, as far as they are written in this library."""
    found = {}
    for name, thing in CALLABLES.items():
        if not inspect.isclass(thing):
            continue
        for attribute in dir(thing):
            value = inspect.getattr_static(thing, attribute)
            if isinstance(value, (classmethod, staticmethod)):
                value = value.__func__
            function = value.fget if isinstance(value, property) else value
            if (
                not attribute.startswith("_")
                and inspect.isfunction(function)
                and function.__module__.startswith("deltarule")
            ):
                found[f"{name}.{attribute}"] = function
    return found


def arguments(thing: Callable[..., Any]) -> list[str]:
    """Names as a caller types them."""
    names = inspect.signature(thing).parameters
    return [name for name in names if name not in ("self", "cls", "args", "kwargs") and not name.startswith("_")]


@pytest.mark.parametrize("name", [*OBJECTS, *methods()])
def test_has_a_docstring(name: str) -> None:
    thing = OBJECTS.get(name, methods().get(name))
    docstring = inspect.cleandoc(thing.__doc__ or "")
    assert docstring, "explain it"
    first = docstring.partition("\n\n")[0]
    assert len(first.splitlines()) <= 2, "the first paragraph is one line"
    assert first.endswith((".", ":")), "the first line is a sentence"


@pytest.mark.parametrize("name", CALLABLES)
def test_every_argument_is_explained(name: str) -> None:
    thing = CALLABLES[name]
    if inspect.isclass(thing) and issubclass(thing, (BaseException, dr.History)):
        return
    names = arguments(thing)
    docstring = thing.__doc__ or ""
    # What a function returns has attributes to read, not arguments to give.
    assert not names or "Parameters\n" in docstring or "Attributes\n" in docstring
    for argument in names:
        assert re.search(rf"^\s*(\w+, )*\*?{argument}(, \*?\w+)*( :|$)", docstring, re.MULTILINE), (
            f"{argument} is not explained"
        )


@pytest.mark.parametrize("name", [name for name, thing in CALLABLES.items() if inspect.isfunction(thing)])
def test_functions_say_what_they_return_and_show_it(name: str) -> None:
    function = CALLABLES[name]
    docstring = function.__doc__ or ""
    assert "Examples\n" in docstring
    returns = inspect.signature(function).return_annotation
    assert returns in (None, "None") or not arguments(function) or "Returns\n" in docstring


@pytest.mark.parametrize("name", methods())
def test_methods_name_their_arguments(name: str) -> None:
    function = methods()[name]
    docstring = function.__doc__ or ""
    if len(docstring.splitlines()) == 1:
        return  # one line says it all
    for argument in arguments(function):
        assert re.search(rf"\b{argument}\b", docstring), f"{argument} is not mentioned"


def test_dir_shows_what_is_public() -> None:
    assert set(dir(dr)) >= set(dr.__all__)
    assert sorted(dr.__all__) == sorted(set(dr.__all__))
