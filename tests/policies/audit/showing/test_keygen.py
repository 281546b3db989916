"""Key pairs for signing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policies.audit.journal.signing import Signer, public_key, signed
from policies.audit.showing.keygen import make


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_a_pair(tmp_path: Path, mask: int) -> None:
    private = tmp_path / "key.pem"
    former = os.umask(mask)
    try:
        public, name = make(private)
    finally:
        os.umask(former)
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o777 == 0o644
    signer, key = Signer.from_pem(private.read_text()), public_key(public.read_text())
    assert signer.key_id == name
    assert signed(key, signer.sign("gw.0", 7, "abc"), "gw.0", 7, "abc")
    assert not signed(key, signer.sign("gw.0", 7, "abc"), "gw.0", 8, "abc")


@pytest.mark.parametrize("name", ["key.pem", "key.pem.pub"])
@pytest.mark.parametrize("dangling", [True, False])
def test_what_is_there_is_never_replaced(tmp_path: Path, name: str, dangling: bool) -> None:
    there = tmp_path / name
    if dangling:
        there.symlink_to(tmp_path / "elsewhere")
    else:
        there.write_text("precious")
    with pytest.raises(FileExistsError, match="is there already"):
        make(tmp_path / "key.pem")
    assert os.listdir(tmp_path) == [name]
    assert not (tmp_path / "elsewhere").exists()
