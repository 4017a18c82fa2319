"""Whether a device has bfloat16: what Linux says of processors, what the environment takes away, what a GPU answers."""

import contextlib

import pytest
import torch

from ncbook.training import bf16_is_native, precisions

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
SAPPHIRE = "processor\t: 0\nmodel name\t: a Xeon with amx_bf16\nflags\t\t: fpu avx2 avx512f amx_tile amx_bf16\n\n"
EPYC = "processor\t: 0\nflags\t\t: fpu sse4_1 avx2 avx512f avx512_bf16 avx512_vnni\n\n"
GRAVITON = "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd sve bf16 i8mm\n\n"
LAPTOP = "processor\t: 0\nmodel name\t: one without avx512_bf16\nflags\t\t: fpu sse4_1 avx2 fma\n\n"


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Make the machine one with oneDNN, no limits, and a given /proc/cpuinfo."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)

    def become(text):
        monkeypatch.setattr(precisions, "CPUINFO", tmp_path / "cpuinfo")
        (tmp_path / "cpuinfo").write_text(text)

    return become


class TestProcessor:
    @pytest.mark.parametrize(
        ("text", "native"),
        [(SAPPHIRE, True), (EPYC, True), (GRAVITON, True), (2 * EPYC, True), (LAPTOP, False), (2 * LAPTOP, False)],
        ids=["amx", "avx512", "arm", "two cores", "avx2", "two cores of avx2"],
    )
    def test_its_flags_decide_and_its_name_does_not(self, processor, text, native):
        processor(text)
        assert bf16_is_native("cpu") is bf16_is_native() is bf16_is_native(torch.device("cpu")) is native

    def test_without_cpuinfo_nothing_is_known(self, processor, monkeypatch, tmp_path):
        processor(EPYC)
        monkeypatch.setattr(precisions, "CPUINFO", tmp_path / "nowhere")
        assert bf16_is_native("cpu") is False

    def test_without_onednn_nothing_uses_it(self, processor, monkeypatch):
        processor(EPYC)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert bf16_is_native("cpu") is False

    @pytest.mark.parametrize(
        ("name", "limit", "native"),
        [
            ("ONEDNN_MAX_CPU_ISA", "AVX2", False),
            ("ONEDNN_MAX_CPU_ISA", "avx2", False),
            ("ONEDNN_MAX_CPU_ISA", "SSE41", False),
            ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", False),
            ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
            ("ONEDNN_MAX_CPU_ISA", "DEFAULT", True),
            ("DNNL_MAX_CPU_ISA", "AVX2", False),
            ("ATEN_CPU_CAPABILITY", "avx2", False),
            ("ATEN_CPU_CAPABILITY", "default", False),
            ("ATEN_CPU_CAPABILITY", "avx512", True),
        ],
    )
    def test_a_limit_in_the_environment_takes_it_away(self, processor, monkeypatch, name, limit, native):
        processor(EPYC)
        monkeypatch.setenv(name, limit)
        assert bf16_is_native("cpu") is native


class TestOtherDevices:
    @pytest.mark.parametrize("answer", [True, False])
    def test_a_gpu_is_asked_for_more_than_emulation(self, monkeypatch, answer):
        asked = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device", lambda place: asked.append(place) or contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: answer or including_emulation)
        assert bf16_is_native("cuda:1") is answer and asked == [torch.device("cuda:1")]

    def test_a_gpu_that_is_not_there_has_nothing(self, processor, monkeypatch):
        processor(EPYC)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert bf16_is_native("cuda") is False

    def test_of_another_device_nothing_is_known(self, processor):
        processor(EPYC)
        assert bf16_is_native("mps") is False

    @pytest.mark.parametrize("device", ["gpu", "", None, 1.5])
    def test_no_device_is_named(self, device):
        with pytest.raises(ValueError, match=r"^device"):
            bf16_is_native(device)
