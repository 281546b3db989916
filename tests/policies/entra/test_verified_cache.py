"""The memory of verified tokens."""

from __future__ import annotations

from extproc.identity import CallerKind, Identity
from policies.entra.claims import Verified
from policies.entra.issuer import KeyPlace
from policies.entra.verified_cache import Remembered, VerifiedCache
from tests.entra_tokens import ALICE, CLIENT, CONTOSO, Issuer
from tests.policies.entra.world import keys_of

PLACE = KeyPlace(CONTOSO, "2.0")
KEY = keys_of(Issuer(), PLACE)["key-1"]


def _entry(expires: int) -> Remembered:
    return Remembered(Verified(Identity(CONTOSO, ALICE, CLIENT, CallerKind.USER), expires), PLACE, KEY)


def test_an_entry_lives_until_its_expiry_and_not_a_moment_longer() -> None:
    cache = VerifiedCache(10)
    entry = _entry(100)
    cache.put(b"a", entry)
    assert cache.get(b"a", 99.999) is entry
    assert cache.get(b"a", 100) is None
    assert len(cache) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache = VerifiedCache(2)
    for name in (b"a", b"b"):
        cache.put(name, _entry(100))
    assert cache.get(b"a", 0)
    cache.put(b"c", _entry(100))
    assert [cache.get(name, 0) is not None for name in (b"a", b"b", b"c")] == [True, False, True]
    cache.put(b"c", _entry(100))
    assert len(cache) == 2


def test_forgetting_and_size_nought() -> None:
    cache = VerifiedCache(1)
    cache.put(b"a", _entry(100))
    cache.forget(b"a")
    cache.forget(b"a")
    assert cache.get(b"a", 0) is None
    none = VerifiedCache(0)
    none.put(b"a", _entry(100))
    assert len(none) == 0
