"""The client's tests that `--service` leaves out, by name, and why: all else must pass through a service too.

Tests that take the fixture `fake` are left out as well: a fake engine stands in the embedded one's place.
"""

from __future__ import annotations

ENGINE = "it is about the process of the embedded engine: how many there are, when it starts, how it ends"
FILES = "it is about files that no session of a service is needed for"
POOL = "it is about pools, which the service does not offer yet"
SLOW = "the embedded engine lets code wait for a slow reader; a service keeps what the code prints on disk"

EMBEDDED_ONLY: dict[str, str] = {
    # whole files
    "test_binary.py": "it is about where the client finds the binary",
    "test_channel.py": FILES,
    "test_checkpoint_versions.py": FILES,
    "test_documents.py": FILES,
    "test_inheritance.py": ENGINE,
    "test_lifecycle.py": ENGINE,
    "test_pool.py": POOL,
    "test_prompt.py": FILES,
    "test_protocol.py": ENGINE,
    "test_service.py": "it has a service of its own already",
    # by name
    "test_checkpoint_durability.py::test_the_engine_is_killed_while_it_saves": ENGINE,
    "test_checkpoint_durability.py::test_two_engines_on_one_data_directory": ENGINE,
    "test_checkpoint_durability.py::test_a_client_that_is_killed_while_it_saves_leaves_nothing_behind": ENGINE,
    "test_checkpoint_durability.py::test_a_data_directory_that_cannot_be_written": "no server starts on such a directory",
    "test_closing.py::test_aclosing_a_pool_and_what_iterates": POOL,
    "test_closing.py::test_aclosing_a_session": ENGINE,
    "test_closing.py::test_closing_without_await": ENGINE,
    "test_output.py::test_a_slow_iterator_makes_the_code_wait_and_nobody_else": SLOW,
    "test_sync.py::test_a_pool": POOL,
    "test_sync.py::test_a_pools_block_stops_what_still_runs": POOL,
    "test_sync.py::test_an_engine_that_is_killed": ENGINE,
    "test_sync.py::test_asyncio_sessions_and_blocking_ones_share_the_engine": ENGINE,
    "test_sync.py::test_on_input_of_a_pool": POOL,
    "test_transactions.py::test_a_branch_of_a_session_on_loan_is_the_callers_own": POOL,
}


def reason(file: str, name: str) -> str | None:
    """Why a test is left out, if it is."""
    return EMBEDDED_ONLY.get(file) or EMBEDDED_ONLY.get(f"{file}::{name.partition('[')[0]}")
