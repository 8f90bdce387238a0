"""What an operator is told when the engine fails while it cleans up behind a failure."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException

from pipelines.failure import Failure
from pipelines.worker import _failure_before


def fail_while_failing(failure: Failure) -> None:
    try:
        raise failure
    finally:
        raise KafkaException("abort refused")


def test_the_first_failure_is_told_and_not_the_engines_own() -> None:
    cause = Failure("100 dead letters in a row", "look at the dead letters")

    with pytest.raises(KafkaException) as told:
        fail_while_failing(cause)

    assert _failure_before(told.value) is cause
    assert _failure_before(KafkaException("alone")) is None
