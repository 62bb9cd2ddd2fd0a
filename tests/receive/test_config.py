from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcost_collector.receive.config import Config


@pytest.mark.parametrize(
    "wrong",
    [
        {"grpc": "4317"},
        {"http": "localhost"},
        {"request_bytes_max": 0},
        {"request_bytes_max": 2**31},
        {"request_bytes_max": 1001, "bytes_in_flight_max": 8007},
        {"group_requests_max": 0},
        {"retry_delay_s": 0},
        {"body_wait_s": 0},
        {"gprc": "127.0.0.1:4317"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    """A setting that cannot work, or does not exist, fails at the start."""
    with pytest.raises(ValidationError):
        Config(**wrong)


def test_every_setting_is_explained():
    """Each field has a default and a description."""
    for name, field in Config.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
