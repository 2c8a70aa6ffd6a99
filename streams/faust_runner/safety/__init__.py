"""Faust made safe. Import this before anything that uses Faust: it repairs or refuses.

What is repaired, why, and what was measured: docs/faust.md.
"""

from streams.faust_runner.safety import (
    assignment,
    commits,
    fetching,
    membership_fence,
    patches,
    publishing,
    recovery,
    unpacking,
    unsafe,
)

PATCHES = (
    *recovery.PATCHES,
    *fetching.PATCHES,
    *unpacking.PATCHES,
    *commits.PATCHES,
    *publishing.PATCHES,
    *membership_fence.PATCHES,
    *assignment.PATCHES,
)


def install() -> frozenset[str]:
    """Applies the patches, but for those that `OPOI_UNSAFE_FAUST` leaves out, which are returned.

    Raises `patches.UnknownFaust` and `unsafe.UnknownRepair`.
    """
    patches.check_versions()
    patches.check_sources(PATCHES)
    left_out = unsafe.left_out()
    unsafe.warn(left_out)
    for each in PATCHES:
        if each.guards not in left_out:
            setattr(each.owner, each.method, each.replacement)
    return left_out


LEFT_OUT = install()
"""The repairs that this process runs without."""
