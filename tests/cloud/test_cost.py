"""The billed operations of a chunk are counted, so that an additional call fails the test."""

from collections import Counter
from pathlib import Path

import pytest
from benchmarks.cost import PER_FLUSH, above_goals, measure

from tests.harness.emulators import Firestore, Pubsub

pytestmark = pytest.mark.cloud


async def test_chunk_uses_expected_number_of_billed_operations(
    tmp_path: Path, firestore: Firestore, pubsub: Pubsub
) -> None:
    run = await measure(tmp_path / "run", firestore, pubsub, 2000, latency=0.0)
    work, once = run.work.operations, Counter(document_write=6, document_read=19, class_a=8, class_b=12, task=3)
    chunk = Counter(document_write=3, document_read=5, class_a=1, class_b=1, published_message=1)
    allowed = {name: 20 * chunk[name] + once[name] + PER_FLUSH.get(name, 0) * run.flushes for name in chunk + once}

    assert run.chunks == 20
    assert 20 <= run.flushes <= 60
    assert not list(above_goals(run))
    assert {name: work[name] for name in allowed if work[name] > allowed[name]} == {}
    assert work["published_message"] == 20
    assert run.api.operations["document_write"] == 1
