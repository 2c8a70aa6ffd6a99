"""Another Faust is refused."""

from dataclasses import replace

import pytest

import streams.faust_runner.safety as faust_safety
from streams.faust_runner.safety import patches, unsafe


def test_the_installed_versions_are_the_pinned_ones() -> None:
    patches.check_versions()


@pytest.mark.parametrize("package", patches.PINNED)
def test_another_version_is_refused(package: str) -> None:
    def installed(name: str) -> str:
        return "0.0.9" if name == package else patches.PINNED[name]

    with pytest.raises(patches.UnknownFaust, match=f"{package} is 0.0.9.*install {package}=="):
        patches.check_versions(installed)


@pytest.mark.parametrize("patch", faust_safety.PATCHES, ids=lambda patch: patch.method)
def test_every_patched_method_is_the_one_that_was_read(patch: patches.Patch) -> None:
    patches.check_sources([patch])
    with pytest.raises(patches.UnknownFaust, match=patch.method):
        patches.check_sources([replace(patch, sha256="0" * 64)])


@pytest.mark.parametrize("patch", faust_safety.PATCHES, ids=lambda patch: patch.method)
def test_every_patch_is_in_place(patch: patches.Patch) -> None:
    assert patch.owner.__dict__[patch.method] is patch.replacement


def test_every_patch_can_be_left_out_by_a_known_name() -> None:
    assert {patch.guards for patch in faust_safety.PATCHES} <= unsafe.REPAIRS.keys()


def test_nothing_is_left_out_unless_asked() -> None:
    assert unsafe.left_out({}) == frozenset()


def test_all_leaves_out_everything(capsys: pytest.CaptureFixture[str]) -> None:
    names = unsafe.left_out({unsafe.VARIABLE: "all"})
    assert names == unsafe.REPAIRS.keys()
    unsafe.warn(names)
    assert capsys.readouterr().err.count("UNSAFE: ") == len(unsafe.REPAIRS)


def test_a_name_that_stands_for_nothing_is_refused() -> None:
    with pytest.raises(unsafe.UnknownRepair, match="no repair is called recovry; allowed: all, recovery"):
        unsafe.left_out({unsafe.VARIABLE: "recovry,guard"})
