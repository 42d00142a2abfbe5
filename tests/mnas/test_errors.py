"""The tree of errors: messages, exit codes, and the way across a process boundary."""

import pickle

import pytest

from mnas import errors


def subclasses(cls):
    return [cls, *(deeper for direct in cls.__subclasses__() for deeper in subclasses(direct))]


TREE = [cls for cls in subclasses(errors.MnasError) if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", TREE)
def test_pickle_keeps_every_field(cls):
    error = cls("XYZ01", "it broke", value=(1, "a"), why="of a reason", fix="mend it")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    for field in ("code", "what", "value", "why", "fix", "exit_code"):
        assert getattr(copy, field) == getattr(error, field)
    assert str(copy) == str(error)


def test_message_holds_what_value_why_and_fix():
    error = errors.LutError("LUT01", "no entry", value={"k": 3}, why="it was never measured", fix="measure it")
    assert str(error) == "LUT01: no entry (saw: {'k': 3}): it was never measured. Fix: measure it"


def test_message_leaves_out_what_is_not_given():
    assert str(errors.MnasError("ABC01", "it broke")) == "ABC01: it broke"
    assert str(errors.MnasError("ABC01", "it broke", value="as text")) == "ABC01: it broke (saw: as text)"


def test_falsy_values_are_shown():
    assert "(saw: 0)" in str(errors.MnasError("ABC01", "it broke", value=0))


def test_long_values_are_cut():
    assert len(str(errors.MnasError("ABC01", "it broke", value="x" * 10_000))) < 600


def test_exit_codes_are_those_of_the_contract():
    expected = {
        errors.MnasError: 1,
        errors.UsageError: 2,
        errors.ConfigError: 2,
        errors.ArchitectureError: 2,
        errors.SpaceError: 2,
        errors.ModelError: 2,
        errors.PackageError: 2,
        errors.GateFailedError: 3,
        errors.DeviceError: 4,
        errors.MeasurementError: 4,
        errors.InconclusiveError: 5,
        errors.StateError: 6,
        errors.DataError: 6,
        errors.StoreError: 6,
        errors.LutError: 6,
        errors.RunError: 6,
        errors.StudyError: 6,
        errors.SupernetError: 6,
        errors.ClusterError: 1,
        errors.ExportError: 1,
        errors.TrainingError: 1,
    }
    assert {cls: cls.exit_code for cls in TREE} == expected


@pytest.mark.parametrize("cls", TREE)
def test_the_docstring_draws_every_class(cls):
    assert cls.__name__ in (errors.__doc__ or "")
