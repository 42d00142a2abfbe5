"""Devices of a study at other hosts: what an executor offers is measured by jobs, all else here."""

import pytest

from devices.adb.privacy import public_serial
from latency.on_device import OnDevice
from mnas.config import make_config
from mnas.errors import ConfigError, DeviceError, LutError
from mnas.export.network import write_network
from mnas.spaces.presets import open_space
from search import study_device
from search.executors.executor import InProcessExecutor, Outcome
from search.resolve import resolve
from search.study import Study, open_store
from search.study_device import DeviceElsewhere, open_study_device, require_study_device
from search.testing import KeptReporter, ShortTraining

PHONE = "phone-0000abcd"


class Offering(ShortTraining):
    """Another host that is this process, and offers one phone; counts what was asked of it."""

    def __init__(self, log=None):
        super().__init__(log)
        self.asked = []

    def offers(self, needs):
        return tuple(needs) == (PHONE,)

    def map_in_order(self, jobs, on_done=None):
        if any(job.needs for job in jobs):
            self.asked += [(job.function.__name__, job.needs) for job in jobs]
            return InProcessExecutor.map_in_order(self, jobs, on_done)
        return super().map_in_order(jobs, on_done)


@pytest.fixture
def the_host_is_a_phone(monkeypatch, tmp_path):
    """Let this machine's own runtime be what another host offers as a phone."""
    monkeypatch.setenv("MNAS_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(study_device, "needs_of", lambda spec: (PHONE,))


def test_a_study_measures_at_the_other_host(copy_after_lut, the_host_is_a_phone):
    out, executor, reporter = copy_after_lut("elsewhere"), Offering(), KeptReporter()
    keys = {"data": "digits", "training": "small", "budget": 4, "population": 4, "finalists": 2, "finalist_seeds": 1}
    with open_store(out) as store:
        (lut_id,) = [row["lut_id"] for row in store.query("SELECT lut_id FROM lut")]
        config = resolve(make_config({**keys, "lut": lut_id}), reporter, executor)
        result = Study.create(store, config).run(out, executor, reporter)
    assert result.status == "finished" and all(0 < one.measured_ms for one in result.members)
    asked = [name for name, _ in executor.asked]
    assert asked.count("measure_on_host") == 2, "the drift of its table, and the finalists"
    assert asked.count("describe_on_host") == 3 and {needs for _, needs in executor.asked} == {(PHONE,)}
    assert result.session["device_key"] and not result.foreign_lut, "its own table is no foreign one"


def test_latencies_of_another_host_are_those_of_its_device(store, the_host_is_a_phone, tmp_path):
    space = open_space("mobilenetv3", "digits")
    networks = zip(("small", "large"), map(space.decode, space.extremes()), strict=True)
    artifacts = {name: write_network(network, tmp_path, "onnx") for name, network in networks}
    with open_study_device("host:ort", store, Offering()) as device:
        assert isinstance(device, DeviceElsewhere) and device.model_format == "onnx"
        with OnDevice("host:ort", store) as here:
            assert device.info == here.info
        session = device.measure(artifacts, seed=1, rounds=3)
    assert 0 < session.networks["small"].ms < session.networks["large"].ms


def test_what_nobody_offers_is_of_this_machine(store):
    with open_study_device("host:ort", store, Offering()) as device:
        assert isinstance(device, OnDevice)
    require_study_device("host:ort", "float32", InProcessExecutor())


def test_a_table_is_built_where_the_device_is(store, the_host_is_a_phone):
    with (
        open_study_device("host:ort", store, Offering()) as device,
        pytest.raises(LutError, match=r"LUT11: .*mnas lut build.*mnas lut import"),
    ):
        device.build_table(None, None)


def test_what_goes_wrong_there_is_told_without_the_serial(store, tmp_path):
    class Failing(Offering):
        def offers(self, needs):
            return bool(needs)

        def map_in_order(self, jobs, on_done=None):
            return [Outcome(error_message="the phone is unplugged")]

    with pytest.raises(DeviceError, match=r"DEV61: .*unplugged") as caught:
        require_study_device("adb:R58N12ABCDE/tflite", "float32", Failing())
    assert "R58N12ABCDE" not in str(caught.value) and public_serial("R58N12ABCDE") in str(caught.value)


def test_an_element_type_that_its_models_cannot_have_is_refused(the_host_is_a_phone):
    require_study_device("host:ort", "float32", Offering())
    with pytest.raises(ConfigError, match="CFG13"):
        require_study_device("host:torch", "int8", Offering())
