"""Torch modules that a person names as ``pkg.mod:factory``: made, given inputs, and written as a model file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devices.models.file_bytes import one_line
from devices.models.shapes import UNNAMED, Shapes
from mnas.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

_SEED = 0
_STRIPPED = ("metadata_props", "doc_string")


@dataclass(frozen=True, slots=True)
class MadeModule:
    """A module and what it is to be fed.

    Attributes:
        module: In evaluation mode.
        inputs: Tensors for its ``forward``, by place.
    """

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]


def make_module(text: str, shapes: Shapes) -> MadeModule:
    """Call a factory and make its inputs.

    The factory, a callable without arguments or a module, is looked for in the working folder too. It gives a module,
    or a module and a tuple of example inputs. Weights that it draws come from torch's generator with a fixed seed.

    Args:
        text: ``pkg.mod:factory``.
        shapes: Sizes of the inputs; they go before those of the examples.

    Raises:
        ModelError: ``MOD08``: it cannot be imported, it raises, or gives something else. ``MOD06``: shapes that do not
            fit. ``MOD07``: there are neither shapes nor examples.
    """
    import torch

    with _code_of_others(), torch.random.fork_rng(devices=[]):
        # A module that stands ready in its file is drawn by the import.
        torch.manual_seed(_SEED)
        try:
            made = _call(text)
        except ModelError:
            raise
        except (Exception, SystemExit) as error:  # code of others, which may raise anything
            raise _failed(text, f"{type(error).__name__}: {error}") from error
    module, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, ())
    if not isinstance(module, torch.nn.Module):
        raise _failed(text, f"it gave {one_line(repr(made), 80)}, which is no torch module")
    examples = tuple(examples) if isinstance(examples, list | tuple) else (examples,)
    if not all(isinstance(one, torch.Tensor) for one in examples):
        raise _failed(text, "its example inputs are not all tensors")
    return MadeModule(module.eval(), _inputs(text, module, examples, shapes))


def onnx_bytes(text: str, made: MadeModule) -> bytes:
    """Return a made module as an ONNX file, by torch's exporter; equal modules give equal bytes.

    Raises:
        ModelError: ``MOD11``: the exporter's package is missing. ``MOD09``: the exporter refused.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise ModelError(
            "MOD11",
            "a torch module cannot be written as ONNX here",
            value=text,
            why="torch's exporter needs the package onnxscript",
            fix="pip install 'mnas[torch-export]', or measure on host:torch",
        )
    import torch

    with _code_of_others():
        try:
            program = torch.onnx.export(made.module, made.inputs, dynamo=True, verbose=False)
            if program is None:
                raise ValueError("it gave nothing")
            proto = program.model_proto
            _strip(proto)
            return bytes(proto.SerializeToString(deterministic=True))
        except (Exception, SystemExit) as error:  # torch's and the module's own, of any type
            raise _refused(text, "ONNX", error) from error


def pt2_bytes(text: str, made: MadeModule) -> bytes:
    """Return a made module as a saved torch program; equal modules give equal bytes.

    Raises:
        ModelError: ``MOD09``: torch cannot export it.
    """
    from mnas.export.program import write_program

    with _code_of_others():
        try:
            return write_program(made.module, made.inputs)
        except (Exception, SystemExit) as error:  # torch's and the module's own, of any type
            raise _refused(text, "a torch program", error) from error


@contextlib.contextmanager
def _code_of_others() -> Iterator[None]:
    """Let code of the working folder be imported, and keep what it and torch say off the results."""
    folder, logger = os.getcwd(), logging.getLogger("torch.onnx")
    level = logger.level
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _call(text: str) -> Any:
    import torch

    module_name, _, name = text.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        found = getattr(found, part)
    if isinstance(found, torch.nn.Module):
        return found
    if not callable(found):
        raise _failed(text, "it is neither a callable nor a module")
    # Only now, since the import draws numbers too, and happens once.
    torch.manual_seed(_SEED)
    return found()


def _inputs(
    text: str, module: nn.Module, examples: tuple[torch.Tensor, ...], shapes: Shapes
) -> tuple[torch.Tensor, ...]:
    """Return the examples, with tensors of the given shapes in the places that shapes are given for."""
    import torch

    names = _forward_names(module)
    sizes = dict(shapes)
    if UNNAMED in sizes and names:
        if len(sizes) > 1 or len(examples) > 1:
            raise _shape_error(text, names, "several inputs need names")
        sizes = {names[0]: sizes[UNNAMED]}
    unknown = sorted(set(sizes) - set(names))
    if unknown:
        raise _shape_error(text, names, f"there is no input '{unknown[0]}'")
    count = max([len(examples), *(names.index(name) + 1 for name in sizes)])
    generator = torch.Generator().manual_seed(_SEED)
    inputs = []
    for place, name in enumerate(names[:count] or [f"input {place}" for place in range(count)]):
        example = examples[place] if place < len(examples) else None
        if name in sizes:
            inputs.append(_tensor(sizes[name], example, generator))
        elif example is not None:
            inputs.append(example)
        else:
            raise _shape_error(text, names, f"'{name}' has no shape")
    if not inputs:
        raise ModelError(
            "MOD07",
            f"{text} has inputs of unknown sizes",
            value=", ".join(names),
            why="a module does not say what it is to be fed, and the factory gave no example inputs",
            fix=f"give --shape {names[0] if names else 'x'}=1,3,224,224, or return (module, inputs)",
        )
    return tuple(inputs)


def _tensor(sizes: tuple[int, ...], example: torch.Tensor | None, generator: torch.Generator) -> torch.Tensor:
    import torch

    if example is None or example.is_floating_point():
        return torch.randn(sizes, generator=generator, dtype=example.dtype if example is not None else torch.float32)
    # Whole numbers are indices as a rule, and one of the example's is sure to be in range.
    fill = example.flatten()[0].item() if example.numel() else 0
    return torch.full(sizes, fill, dtype=example.dtype)


def _forward_names(module: nn.Module) -> list[str]:
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def _strip(message: Any) -> None:
    """Remove from a protobuf message, and all within it, where in which file the code stood."""
    for field, value in list(message.ListFields()):
        if field.name in _STRIPPED:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for one in value if not hasattr(value, "ListFields") else [value]:
                _strip(one)


def _shape_error(text: str, names: list[str], why: str) -> ModelError:
    has = f"its inputs are {', '.join(names)}" if names else "its inputs have no names"
    return ModelError(
        "MOD06", f"shapes do not fit {text}", value=why, why=has, fix="give --shape NAME=SIZE,... for each"
    )


def _failed(text: str, why: str) -> ModelError:
    return ModelError(
        "MOD08",
        "the factory gives no module",
        value=text,
        why=one_line(why),
        fix="name a callable without arguments that returns a torch module, or (module, example inputs)",
    )


def _refused(text: str, form: str, error: BaseException) -> ModelError:
    return ModelError(
        "MOD09",
        f"the module cannot be written as {form}",
        value=text,
        why=one_line(f"{type(error).__name__}: {error}"),
        fix="make it exportable, and check the shapes that it is given",
    )
