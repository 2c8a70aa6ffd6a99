"""How hard properties are tried; `make soak` sets HYPOTHESIS_PROFILE=soak for a hundred times as much."""

import os

from hypothesis import HealthCheck, settings

for name, examples in (("quick", 15), ("soak", 1500)):
    settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
