from __future__ import annotations

import pytest

from agentcost_collector.model.errors import TransientError
from agentcost_collector.receive.admission import Admission


def test_leases_share_one_bound():
    """All leases together hold at most the bound; a refused one takes nothing."""
    admission = Admission(10)
    first, second = admission.lease(6), admission.lease()
    with pytest.raises(TransientError):
        admission.lease(5)
    second.grow(4)
    with pytest.raises(TransientError):
        second.grow(1)
    assert admission.bytes_now == 10
    first.release()
    first.release()
    assert admission.bytes_now == 4
    second.release()
    assert admission.bytes_now == 0
