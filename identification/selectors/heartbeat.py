"""When workers last showed that they live, by the database's clock."""

from __future__ import annotations

from django.db import connection

HEARTBEAT = "cluster"


def heartbeat_age(name: str = HEARTBEAT) -> float | None:
    """Seconds since the last beat by the database's clock; None when there never was one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - beat_at) FROM identification_heartbeat WHERE name = %s",
            [name],
        )
        row = cursor.fetchone()
    return float(row[0]) if row else None
