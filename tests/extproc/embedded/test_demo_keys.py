from __future__ import annotations

import concurrent.futures
import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from extproc.embedded.demo_keys import is_foreign, make_token, signing_key
from extproc.embedded.demo_tokens import GATEWAY, Caller
from extproc.embedded.faults import StackError


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    kid = signing_key(state).kid
    assert signing_key(state).kid == kid
    assert stat.S_IMODE((state / "identity" / "signing-key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((state / "identity").stat().st_mode) == 0o700
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [file.name for file in (state / "identity").iterdir()] == ["signing-key.pem"]


def test_of_many_that_make_it_at_once_all_get_the_same(tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        kids = set(pool.map(lambda _: signing_key(tmp_path).kid, range(8)))
    assert len(kids) == 1


def test_a_token_verifies_with_the_published_key(tmp_path: Path) -> None:
    token = make_token(tmp_path, Caller("contoso", "alice", ("User",)), lifetime=60)
    key = signing_key(tmp_path)
    published = key.public_jwk("https://login.sluicegate.test/{tenantid}/v2.0")
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": key.kid, "typ": "JWT"}
    assert set(published) == {"kty", "use", "kid", "n", "e", "issuer"}
    claims = jwt.decode(token, jwt.PyJWK(published), algorithms=["RS256"], audience=GATEWAY)
    assert claims["exp"] - claims["iat"] == 60


def test_two_tokens_have_ids_of_their_own(tmp_path: Path) -> None:
    tokens = [make_token(tmp_path, Caller("contoso", "alice")) for _ in range(2)]
    ids = {jwt.decode(token, options={"verify_signature": False})["uti"] for token in tokens}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity" / "signing-key.pem"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StackError, match=r"signing-key.pem is not a private key: remove it"):
        signing_key(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity" / "signing-key.pem"
    path.parent.mkdir()
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(StackError, match="not an RSA key"):
        signing_key(tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"the state directory .*file/state.*: Not a directory"):
        signing_key(tmp_path / "file" / "state")


def test_tokens_of_another_state_directory(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    token = make_token(there, Caller("contoso", "alice"))
    assert is_foreign(token, here)
    assert not is_foreign(make_token(here, Caller("contoso", "alice")), here)
    assert not is_foreign("nonsense", here)
    somebodys = jwt.encode({"iss": "https://login.microsoftonline.com/x/v2.0"}, "k" * 32, "HS256", headers={"kid": "k"})
    assert not is_foreign(somebodys, here)
