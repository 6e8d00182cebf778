"""Job ids in their exact form."""

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.job_id import UUID_CUSTOM, UUID_RANDOM, is_job_id, make_job_id
from tests.harness.job_ids import JOB_ID, NOT_JOB_IDS


@pytest.mark.parametrize("text", NOT_JOB_IDS)
def test_is_job_id_accepts_only_the_exact_form(text: str) -> None:
    assert is_job_id(JOB_ID)
    assert not is_job_id(text)


@given(st.integers(0, 2**128 - 1), st.sampled_from([UUID_RANDOM, UUID_CUSTOM]))
def test_make_job_id_returns_a_uuid_of_its_version(bits: int, version: int) -> None:
    job_id = make_job_id(bits, version)

    made = UUID(job_id)
    assert is_job_id(job_id)
    assert (str(made), made.variant, made.version) == (job_id, RFC_4122, version)
    assert (made.int ^ bits) & ~(0xF << 76 | 0b11 << 62) == 0  # the other 122 bits are kept
