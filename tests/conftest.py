"""What holds for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A machine that is busy makes a sound property slow, not wrong.
settings.register_profile(
    "searcher", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("searcher")
