"""Configuration files of the embedded engine: its limits and its one user."""

from pathlib import Path
from xml.sax.saxutils import escape

from local_stack.clickhouse.request import READER


def config_xml(backups: Path, memory_bytes: int, users: Path) -> str:
    """Server settings: where backups may go, how much memory, the file of `users_xml`."""
    return (
        "<clickhouse>\n"
        f"  <users_config>{escape(str(users))}</users_config>\n"
        f"  <backups><allowed_path>{escape(str(backups))}/</allowed_path></backups>\n"
        f"  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>\n"
        # the defaults suit a dedicated machine
        "  <mark_cache_size>67108864</mark_cache_size>\n"
        "  <uncompressed_cache_size>0</uncompressed_cache_size>\n"
        "  <background_pool_size>2</background_pool_size>\n"
        "  <background_schedule_pool_size>4</background_schedule_pool_size>\n"
        "  <background_common_pool_size>2</background_common_pool_size>\n"
        "  <background_fetches_pool_size>1</background_fetches_pool_size>\n"
        "  <background_move_pool_size>1</background_move_pool_size>\n"
        "</clickhouse>\n"
    )


def users_xml() -> str:
    """The engine's one user: it may do everything, until it takes the role that only reads tables.

    That role lacks the grants that a table function needs to read or write outside of the database, and that
    a file needs to be read as a table.
    """
    return (
        "<clickhouse>\n"
        "  <profiles><default/></profiles>\n"
        "  <quotas><default/></quotas>\n"
        "  <roles>\n"
        "    <writer><grants><query>GRANT ALL ON *.*</query></grants></writer>\n"
        f"    <{READER}><grants><query>GRANT SELECT, dictGet ON *.*</query></grants></{READER}>\n"
        "  </roles>\n"
        "  <users><default>\n"
        "    <password/><profile>default</profile><quota>default</quota>\n"
        "    <networks><ip>::/0</ip></networks>\n"
        f"    <grants><query>GRANT writer, {READER}</query></grants>\n"
        "  </default></users>\n"
        "</clickhouse>\n"
    )
