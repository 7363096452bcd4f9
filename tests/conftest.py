"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A machine that is busy makes a sound property slow, not wrong. A commit passes or it does not:
# the examples are the same in every run, but for `make test-full`, which draws new ones.
settings.register_profile(
    "searcher",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize="SEARCHER_NEW_EXAMPLES" not in os.environ,
)
settings.load_profile("searcher")
