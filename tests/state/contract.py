"""What every store promises, as tests; each store's test class inherits them and gives `store`."""

from __future__ import annotations

import pytest

from state.store import Store

A, B = b"\x01a", b"\x01b"


class StoreContract:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    def test_a_record_never_written_is_none(self, store: Store) -> None:
        assert store.get(b"a", "m-1") is None

    def test_what_is_written_is_seen_at_once_and_replaced(self, store: Store) -> None:
        store.put(b"o", "m-1", "O1", A)
        store.put(b"o", "m-1", "O1", B)

        assert store.get(b"o", "m-1", "O1") == B

    def test_kinds_members_and_names_do_not_mix(self, store: Store) -> None:
        store.put(b"o", "m-1", "O1", A)

        assert store.get(b"g", "m-1", "O1") is None
        assert store.get(b"o", "m-2", "O1") is None
        assert store.get(b"o", "m-1", "O2") is None

    def test_a_deleted_record_is_none_and_deleting_again_does_no_harm(self, store: Store) -> None:
        store.put(b"o", "m-1", "O1", A)
        store.delete(b"o", "m-1", "O1")
        store.delete(b"o", "m-1", "O1")

        assert store.get(b"o", "m-1", "O1") is None
        assert list(store.of_member(b"o", "m-1")) == []

    def test_a_members_records_come_by_name_and_are_only_hers(self, store: Store) -> None:
        store.put(b"o", "m-1", "O2", B)
        store.put(b"o", "m-1", "O1", A)
        store.put(b"o", "m-10", "O3", A)
        store.put(b"g", "m-1", "G", A)

        assert list(store.of_member(b"o", "m-1")) == [("O1", A), ("O2", B)]

    def test_due_names_members_by_instant_up_to_and_with_the_limit(self, store: Store) -> None:
        store.schedule(300, "m-1")
        store.schedule(100, "m-2")
        store.schedule(100, "m-1")
        store.schedule(301, "m-3")

        assert store.due(300, 9) == [(100, "m-1"), (100, "m-2"), (300, "m-1")]

    def test_what_is_unscheduled_is_not_due(self, store: Store) -> None:
        store.schedule(100, "m-1")
        store.unschedule(100, "m-1")

        assert store.due(1_000, 9) == []

    def test_a_value_that_begins_like_a_timestamp_is_refused(self, store: Store) -> None:
        for value in (b"", b"\x00x", b"\xffx"):
            with pytest.raises(AssertionError):
                store.put(b"a", "m-1", "", value)

    def test_due_stops_at_its_limit_with_the_earliest(self, store: Store) -> None:
        for at_ms in (400, 100, 300, 200):
            store.schedule(at_ms, "m-1")
        store.unschedule(100, "m-1")

        assert store.due(300, 1) == [(200, "m-1")]
        assert store.due(900, 2) == [(200, "m-1"), (300, "m-1")]
