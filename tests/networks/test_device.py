"""Names of devices, and what happens where there is none of that name."""

import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.networks.device import choose_device, fast_dtype, free_memory_gb


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "CPU", ""])
def test_device_that_is_none(name: str) -> None:
    with pytest.raises(UserError, match="auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


def test_devices(monkeypatch) -> None:
    assert str(choose_device("cpu")) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert str(choose_device("auto")) == "cpu"
    for absent in ("cuda", "cuda:1", "mps"):
        with pytest.raises(UserError, match=r"not available.*\n.*--device cpu"):
            choose_device(absent)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert str(choose_device("auto")) == str(choose_device("mps")) == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(choose_device("auto")) == str(choose_device("cuda")) == "cuda:0"
    assert str(choose_device("cuda:1")) == "cuda:1"
    with pytest.raises(UserError, match="a number below 2"):
        choose_device("cuda:2")


def test_fast_precision_is_bfloat16_or_none_and_never_without_hardware(monkeypatch) -> None:
    assert fast_dtype(torch.device("cpu")) in (None, torch.bfloat16)
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, check, lambda: False)
    assert fast_dtype(torch.device("cpu")) is None
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert fast_dtype(torch.device("cpu")) is None
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert fast_dtype(torch.device("cpu")) is torch.bfloat16
    assert fast_dtype(torch.device("mps")) is None


def test_free_memory_is_what_the_system_says_or_unknown(monkeypatch) -> None:
    found = free_memory_gb(torch.device("cpu"))
    assert found is None or 0 < found < 1e5
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "MemFree: 1 kB\nMemAvailable: 2000000 kB\n")
    assert free_memory_gb(torch.device("cpu")) == pytest.approx(2.048)
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "nothing of the kind")
    assert free_memory_gb(torch.device("cpu")) is None
