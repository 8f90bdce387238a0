"""Makes all tables anew from the topics, beside those in service, and puts them into service at once.

A table set is a namespace of its own. Which one is in service is one property of the settings' namespace, changed in
one transaction of the catalogue: who asks sees the set of before, or the new one, whole. Until then nothing has changed
for anybody; what a rebuild that died has left is no set in service and none of before, and the next one drops it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Final, NamedTuple

from pyarrow.fs import FileType
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import PyArrowFileIO

from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.failure import Failure
from pipelines.runtime.signals import told_by_signals
from pipelines.warehouse.lake import IN_SERVICE, Lake, in_service, open_catalogue
from pipelines.warehouse.settings import WarehouseSettings
from pipelines.warehouse.sink import write_topics
from pipelines.warehouse.tables import ICEBERG, Table
from pipelines.warehouse.upkeep import tell_verified
from pipelines.warehouse.verification import Verdict, verify

BEFORE: Final = "loyalty.before"
"""The sets that were in service, the last one last; a property beside the pointer, and changed with it."""
SET_OF: Final = "loyalty.set-of"
"""A property of each set that a rebuild makes: the namespace of the warehouse whose it is."""
EXIT_INTERRUPTED: Final = 130
Tell = Callable[[str], None]


class Rebuilt(NamedTuple):
    """What is in service now, what was before, and how many rows each table had and has."""

    in_service: str
    before: str
    rows: tuple[tuple[str, int, int], ...]
    verdict: Verdict
    seconds: float


def rebuild(
    settings: WarehouseSettings, bootstrap: str, registry_url: str, prefix: str, tell: Tell = lambda _: None
) -> Rebuilt:
    """Build, verify, catch up, swap. A Failure when the new tables are not what the topics say, or when interrupted:
    the set of before is then in service as it was."""
    began = time.monotonic()
    old = Lake(settings)
    for left in unfinished(old.catalogue, settings):
        tell(f"dropping {left}, which a rebuild has left unfinished")
        drop(old.catalogue, settings, left)
    new = _beside(old)
    try:
        tell(f"reading the topics into {new.namespace}")
        _catch_up(new, bootstrap, registry_url, prefix)
        tell(f"verifying {new.namespace}")
        verdict = verify(new, Topics(bootstrap), RegistrySchemas(registry_url), prefix)
        if not verdict.clean:
            raise _wrong(new.namespace, verdict)
        tell("catching up")
        _catch_up(new, bootstrap, registry_url, prefix)
        rows = tuple((table.name, _rows(old, table), _rows(new, table)) for table in ICEBERG)
        swap(settings, old, new)
        tell_verified(old.catalogue, settings, verdict.differences)
    except NoSuchTableError as error:
        what = f"{new.namespace} was dropped while it was being built: {error}"
        raise Failure(what, "let one rebuild a warehouse run at a time") from error
    return Rebuilt(new.namespace, old.namespace, rows, verdict, time.monotonic() - began)


def swap(settings: WarehouseSettings, old: Lake, new: Lake) -> None:
    """Put the new set into service in place of the old one, in one transaction of the catalogue."""
    if (now := in_service(old.catalogue, settings)) != old.namespace:
        what = f"{now} was put into service while {new.namespace} was being built"
        raise Failure(what, "let one rebuild a warehouse run at a time; start again if you want another")
    before = [*sets_before(old.catalogue, settings), old.namespace]
    old.catalogue.update_namespace_properties(
        settings.namespace, updates={IN_SERVICE: new.namespace, BEFORE: json.dumps(before)}
    )


def sets_before(catalogue: Catalog, settings: WarehouseSettings) -> list[str]:
    """The sets that were in service and are not dropped yet."""
    said = catalogue.load_namespace_properties(settings.namespace).get(BEFORE, "[]")
    return [str(name) for name in json.loads(said)]


def unfinished(catalogue: Catalog, settings: WarehouseSettings) -> list[str]:
    """The sets that never were in service: what dead rebuilds have left."""
    known = {in_service(catalogue, settings), *sets_before(catalogue, settings)}
    every = {".".join(name) for name in catalogue.list_namespaces()} - known
    made = (name for name in every if name.startswith(settings.namespace))
    ours = (n for n in made if catalogue.load_namespace_properties(n).get(SET_OF) == settings.namespace)
    return sorted(ours)


def drop_before(settings: WarehouseSettings) -> list[str]:
    """Drop the sets that were in service before; their names. Whoever still reads one of them loses it."""
    catalogue = open_catalogue(settings)
    dropped = sets_before(catalogue, settings)
    for name in dropped:
        drop(catalogue, settings, name)
    if dropped:
        catalogue.update_namespace_properties(settings.namespace, removals={BEFORE})
    return dropped


def drop(catalogue: Catalog, settings: WarehouseSettings, name: str) -> None:
    """Drop a set with its files. The settings' own namespace stays, for it holds the pointer."""
    assert name != in_service(catalogue, settings), name
    for identifier in catalogue.list_tables(name) if catalogue.namespace_exists(name) else ():
        found = catalogue.load_table(identifier)
        catalogue.purge_table(identifier)
        _remove_folder(found.io, found.location())
    if name != settings.namespace and catalogue.namespace_exists(name):
        catalogue.drop_namespace(name)


def _remove_folder(io: object, location: str) -> None:
    """What purging leaves: files that a killed sink wrote and no snapshot knows."""
    if isinstance(io, PyArrowFileIO):
        scheme, host, folder = PyArrowFileIO.parse_location(location)
        system = io.fs_by_scheme(scheme, host)
        if system.get_file_info(folder).type == FileType.Directory:
            system.delete_dir(folder)


def _beside(old: Lake) -> Lake:
    base = old.settings.namespace
    name = f"{base}__{time.strftime('%Y%m%d_%H%M%S', time.gmtime())}_{token_hex(2)}"
    old.catalogue.create_namespace(name, {SET_OF: base})
    return Lake(old.settings, name)


def _catch_up(new: Lake, bootstrap: str, registry_url: str, prefix: str) -> None:
    with told_by_signals() as told:
        write_topics(new.settings, new, bootstrap, registry_url, prefix, told, until_caught_up=True)
        if told.is_set():
            raise Failure(
                f"interrupted while {new.namespace} was being built; the tables of before are in service",
                "start it again when you like: it begins anew",
                EXIT_INTERRUPTED,
            )


def _wrong(name: str, verdict: Verdict) -> Failure:
    told = "; ".join(_offences(verdict))
    return Failure(
        f"{name} is not what the topics say, and was not put into service: {told}",
        "see `loyalty warehouse verify` and `loyalty verify`: a topic may hold what it should not",
    )


def _offences(verdict: Verdict) -> Iterator[str]:
    for one in verdict.ranges:
        if one.missing or one.extra:
            yield f"{one.table} partition {one.partition}: {one.missing} missing, {one.extra} extra"
    for check in verdict.checks:
        if check.wrong:
            yield f"{check.check}: {check.wrong} wrong, such as {check.first[0]}"


def _rows(lake: Lake, table: Table) -> int:
    found = lake.there(table)
    snapshot = None if found is None else found.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return 0
    return int(snapshot.summary.additional_properties.get("total-records", 0))
