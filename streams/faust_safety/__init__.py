"""Faust made safe. Import this before anything that uses Faust: it repairs or refuses.

What is repaired, why, and what was measured: docs/faust.md.
"""

from streams.faust_safety import assignment, commits, fetching, lease, pins, publishing, recovery, unsafe

PATCHES = (
    *recovery.PATCHES,
    *fetching.PATCHES,
    *commits.PATCHES,
    *publishing.PATCHES,
    *lease.PATCHES,
    *assignment.PATCHES,
)


def install() -> frozenset[str]:
    """Applies the patches, but for those that `OPOI_UNSAFE_FAUST` leaves out, which are returned.

    Raises `pins.UnknownFaust` and `unsafe.UnknownRepair`.
    """
    pins.check_versions()
    pins.check_sources(PATCHES)
    left_out = unsafe.left_out()
    unsafe.warn(left_out)
    for each in PATCHES:
        if each.guards not in left_out:
            setattr(each.owner, each.method, each.replacement)
    return left_out


LEFT_OUT = install()
"""The repairs that this process runs without."""
