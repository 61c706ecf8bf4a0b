"""Files that are not what they should be: a `WeightsError` names the file and the fault. Ids."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import encodec
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor

from model_core.checkpoints import Registry, files
from model_core.checkpoints.files import weights_id
from model_core.checkpoints.hub import config_from_hub, config_to_hub
from model_core.checkpoints.load import load_network, load_state, state_of
from model_core.checkpoints.read import read_own_lm
from model_core.checkpoints.save import save_weights
from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from model_core.errors import WeightsError
from model_core.model import EncodecModel, load_model
from tests.model_core.checkpoints.conftest import save_th

NAME = "encodec_24khz"


class RunsCode:
    """Creates a file when unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture(scope="module")
def narrow() -> EncodecModel:
    torch.manual_seed(0)
    return EncodecModel(ENCODEC_24KHZ.with_filters(2)).eval()


@pytest.fixture
def own(narrow: EncodecModel, tmp_path: Path) -> Path:
    return save_weights(narrow, tmp_path)


def load(path: Path) -> EncodecModel:
    return load_model(NAME, str(path.parent))


def refused(path: Path, fault: str) -> None:
    with pytest.raises(WeightsError, match=fault) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_wrong_checksum(tmp_path: Path) -> None:
    path = save_th({"x": torch.zeros(1)}, tmp_path, NAME)
    refused(path.rename(tmp_path / f"{NAME}-0123456789.th"), "begins with .*, not 0123456789")


def test_published_name_with_other_content(tmp_path: Path) -> None:
    path = tmp_path / "encodec_24khz-d7cc33bc.th"
    torch.save({}, path)
    refused(path, "not d7cc33bc")


def test_pickle_that_runs_code(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert not trace.exists()
    path = save_th({"x": RunsCode(trace)}, tmp_path / "weights", NAME)
    refused(path, "not a file of plain tensors")
    assert not trace.exists()
    pickle.loads(pickle.dumps(RunsCode(trace)))
    assert trace.exists(), "the attack itself must work"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x02garbage", b"x" * 99])
def test_bytes_that_are_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.th"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=str(path)):
        files.read_reference(path)
    with pytest.raises(WeightsError, match=str(path)):
        files.read_safetensors(path)
    with pytest.raises(WeightsError, match=str(path)):
        files.read_metadata(path)


def test_truncated_checkpoint(th24: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.th"
    path.write_bytes(th24.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=r"cut\.th"):
        files.read_reference(path)


def test_archive_with_a_damaged_end(th24: Path, tmp_path: Path) -> None:
    """One that only the look for an archive's end refuses."""
    data = bytearray(th24.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 16] = 9  # disks
    path = tmp_path / "damaged.th"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"damaged\.th: not a file of plain tensors"):
        files.read_reference(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.th: cannot be read"):
        files.read_reference(tmp_path / "gone.th")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([torch.zeros(1)], "holds a list"),
        ({"encoder.model.0.conv.conv.bias": torch.tensor([float("nan")])}, "not finite"),
        ({"encoder.model.0.conv.conv.bias": torch.tensor([1e300]).double()}, "not finite"),
        ({"encoder.model.0.conv.conv.bias": torch.zeros(1).long()}, "torch.int64"),
        ({"encoder.model.0.conv.conv.bias": 3}, "not a named tensor"),
        ({1: torch.zeros(1)}, "not a named tensor"),
        ({"encoder.model.0.conv.conv.bias": torch.zeros(3).to_sparse()}, "sparse"),
        ({"encoder.model.0.conv.conv.bias": torch.zeros(3, device="meta")}, "meta"),
        ({"encoder.model.0.conv.conv.bias": torch.zeros(1).expand(2**44)}, "more values than"),
        (dict.fromkeys("abcd", torch.zeros(100)), "b has more values than"),
        ({"a": torch.nested.nested_tensor([torch.zeros(1)])}, "nested"),
        ({"a": torch.zeros(1), "b": torch.zeros(2)}, "missing: .*encoder.* and .* more"),
    ],
)
def test_content_that_is_no_state_dict(content: object, fault: str, tmp_path: Path) -> None:
    refused(save_th(content, tmp_path, NAME), fault)


def test_keys_and_shapes_are_named(narrow: EncodecModel, tmp_path: Path) -> None:
    state = dict(narrow.state_dict())
    bias = state.pop("encoder.model.0.conv.conv.bias")
    state["surplus"] = bias
    state["decoder.model.0.conv.conv.bias"] = torch.zeros(7)
    with pytest.raises(WeightsError) as caught:
        load_state(narrow, state, Path("some.th"))
    assert str(caught.value) == (
        "some.th: missing: encoder.model.0.conv.conv.bias; unexpected: surplus; "
        "of another shape: decoder.model.0.conv.conv.bias [7] instead of [32]"
    )


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_floating_type_is_read_as_float32(kind: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.tensor([[1.5, -2.25], [0.1, 3e4]], dtype=kind)
    save_file({"x": tensor}, tmp_path / "x.safetensors")
    for state in (
        files.read_safetensors(tmp_path / "x.safetensors"),
        files.read_reference(save_th({"x": tensor}, tmp_path, NAME)),
    ):
        assert state["x"].dtype == np.float32
        np.testing.assert_array_equal(state["x"], tensor.float().numpy())


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.tensor([1e300], dtype=torch.float64), "not finite"),
        (torch.tensor([float("nan")]), "not finite"),
        (torch.zeros(2, dtype=torch.int64), "I64, not F64, F32, F16, BF16"),
    ],
)
def test_safetensors_of_no_finite_numbers(tensor: Tensor, fault: str, tmp_path: Path) -> None:
    save_file({"x": tensor}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=fault):
        files.read_safetensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("key", ["state_dict", "best_state"])
def test_wrapped_state_dict(key: str, tmp_path: Path) -> None:
    path = save_th({key: {"x": torch.ones(2)}, "epoch": 3}, tmp_path, NAME)
    assert files.read_reference(path)["x"].tolist() == [1, 1]


def test_own_file_with_changed_tensors(own: Path) -> None:
    refused(own.rename(own.with_name(f"{NAME}-00000000.safetensors")), "not 00000000")


def test_safetensors_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}-00000000.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    refused(path, "its metadata does not say")


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("sample_rate", 16_000, "sample_rate is 16000, but encodec_24khz has 24000"),
        ("ratios", [8, 5, 4, 4], "ratios"),
        ("target_bandwidths", [1.5], "target_bandwidths"),
        ("causal", False, "causal"),
        ("n_filters", 10**9, "n_filters is 1000000000, not within"),
        ("n_filters", "2", "n_filters is '2'"),
        ("name", "encodec_44khz", "no model is called"),
        ("name", ["encodec_24khz"], "no model is called"),
        ("name", "encodec_48khz", "but encodec_48khz has"),
        ("colour", 1, "unknown configuration fields"),
    ],
)
def test_own_file_with_another_configuration(
    field: str, value: object, fault: str, own: Path, narrow: EncodecModel
) -> None:
    config = json.dumps({**narrow.config.to_dict(), field: value})
    metadata = {"format": "encodec-service", "kind": "model", "config": config}
    save_arrays(files.read_safetensors(own), own, metadata)
    refused(own, fault)


def test_own_configuration_that_is_no_json(own: Path) -> None:
    metadata = {"format": "encodec-service", "kind": "model", "config": "{"}
    save_arrays(files.read_safetensors(own), own, metadata)
    refused(own, "not JSON")


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("compress", 4, "compress"),
        ("trim_right_ratio", 0.5, "trim_right_ratio"),
        ("codebook_dim", 64, "codebook_dim"),
        ("sampling_rate", 44_100, "44100 Hz"),
        ("model_type", "mimi", "model_type"),
        ("use_causal_conv", False, "causal"),
        ("num_filters", None, "n_filters"),
    ],
)
def test_configuration_of_another_network(field: str, value: object, fault: str) -> None:
    data = {**config_to_hub(ENCODEC_24KHZ), field: value}
    with pytest.raises(WeightsError, match=f"here/config.json: .*{fault}"):
        config_from_hub(data, "here/config.json")


def test_language_model_configuration_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "encodec_lm_24khz-00000000.safetensors"
    configs: list[dict[str, object]] = [
        {"name": NAME, "dim": 10**6},
        {"name": NAME, "dim": 12},
        {"name": NAME, "depth": 1},
        {"name": "x"},
        {"name": []},
        {"a": 1},
    ]
    for config in configs:
        metadata = {"format": "encodec-service", "kind": "lm", "config": json.dumps(config)}
        save_file({"x": torch.zeros(1)}, path, metadata)
        with pytest.raises(WeightsError, match=str(path)):
            read_own_lm(path)


def test_file_that_changes_after_it_was_found(th24: Path, tmp_path: Path) -> None:
    path = tmp_path / th24.name
    path.symlink_to(th24)
    found = Registry(str(tmp_path)).find(NAME)
    path.unlink()
    torch.save({}, path)
    with pytest.raises(WeightsError, match="wrong checksum"):
        load_network(found, EncodecModel)


def test_weights_of_the_other_model(own: Path) -> None:
    other = own.rename(own.with_name(own.name.replace("24khz", "48khz")))
    with pytest.raises(WeightsError, match="weights for encodec_24khz, not encodec_48khz"):
        Registry(str(other.parent)).find(ENCODEC_48KHZ.name)


def test_statistics_do_not_count(reference24: encodec.EncodecModel) -> None:
    state = state_of(reference24)
    before = weights_id(state)
    state["quantizer.vq.layers.0._codebook.embed_avg"] = np.zeros((1024, 128))
    del state["quantizer.vq.layers.1._codebook.cluster_size"]
    assert weights_id(dict(reversed(state.items()))) == before
    assert weights_id({k: v.astype(np.float64) for k, v in state.items()}) == before
    entries = state["quantizer.vq.layers.0._codebook.embed"]
    state["quantizer.vq.layers.0._codebook.embed"] = np.nextafter(entries, np.float32(9))
    assert weights_id(state) != before


def test_id_is_pinned() -> None:
    """Files in the world carry ids: how they are made must not change."""
    state = {"b": np.arange(6.0).reshape(2, 3), "a.weight": np.array([-1.5])}
    assert weights_id(state) == "602b1fdd"
    assert weights_id({"b": state["b"].reshape(3, 2), "a.weight": state["a.weight"]}) != "602b1fdd"


def test_packed_tensors_are_not_unpacked(tmp_path: Path) -> None:
    path = save_th({"x": torch.zeros(1 << 20)}, tmp_path, NAME)
    packed = tmp_path / "packed.th"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w") as target:
        for member in source.namelist():
            target.writestr(member, source.read(member), zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 1 << 14
    assert torch.load(packed)["x"].numel() == 1 << 20, "torch itself would"
    with pytest.raises(WeightsError, match=r"packed\.th: its tensors are packed"):
        files.read_reference(packed)


@pytest.mark.parametrize("shape", [[0, 2**63 - 1], [0, 2**62], [0] * 100])
def test_shapes_that_cannot_be(shape: list[int], tmp_path: Path) -> None:
    header = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(WeightsError, match=r"x\.safetensors: x has no shape that can be"):
        files.read_safetensors(path)
