"""What a drill makes of keys that are not with the backup."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from headwater import accounts
from headwater.accounts import sealing
from headwater.accounts.store import factors
from headwater.cli.open import open_site
from headwater.kernel import SYSTEM, utcnow
from tests.growth import only_on_one_machine
from tests.operation.test_backup import command

pytestmark = only_on_one_machine  # in PostgreSQL a drill wants a database to try it in


@pytest.mark.parametrize("kept", ["in the environment", "elsewhere", "lost", "with it"])
def test_apps_whose_secret_is_not_with_the_backup_are_no_damage(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"HEADWATER_SECRET": "x" * 40} if kept == "in the environment" else {}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    site = open_site(tmp_path / "data")
    try:
        person = site.db.write(accounts.create_person, SYSTEM, "totty", password_hash=None, now=utcnow())
        sealed = sealing.seal(site.secret, "totp", b"x" * 20, bound_to=str(person.id))
        site.db.write(factors.insert_app, person.id, name="app", sealed=sealed, last_step=0, now=utcnow())
    finally:
        site.close()
    data, backups, keys = f"--data={tmp_path / 'data'}", str(tmp_path / "backups"), tmp_path / "keys"
    apart = [f"--keys-to={keys}"] if kept in ("elsewhere", "lost") else []
    assert command("backup", backups, data, *apart, env=env).returncode == 0
    there = [f"--keys-from={keys}"] if kept == "elsewhere" else []
    said = command("restore", f"--from={backups}", "--drill", data, *there, "--json", env=env)
    assert said.returncode == 0, said.stderr
    assert orjson.loads(said.stdout)["n_objects"] == 0


def test_an_app_that_the_secret_of_the_backup_does_not_open_is_damage(tmp_path: Path) -> None:
    site = open_site(tmp_path / "data")
    try:
        person = site.db.write(accounts.create_person, SYSTEM, "totty", password_hash=None, now=utcnow())
        sealed = sealing.seal(b"another secret of another site..", "totp", b"x" * 20, bound_to=str(person.id))
        site.db.write(factors.insert_app, person.id, name="app", sealed=sealed, last_step=0, now=utcnow())
    finally:
        site.close()
    data, backups = f"--data={tmp_path / 'data'}", str(tmp_path / "backups")
    assert command("backup", backups, data).returncode == 0
    said = command("restore", f"--from={backups}", "--drill", data, "--json")
    assert said.returncode != 0
    assert "totty" in said.stdout + said.stderr
