"""Check digits, as the standards of numbers define them. Pure: every function takes digits that were separated before."""

from __future__ import annotations

from typing import Final

_ZERO: Final = ord("0")
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
_VERHOEFF_PRODUCT: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_VERHOEFF_TURN: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
_CF_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: payment cards, Swedish personal numbers."""
    total = sum((digits[::-2] + digits[-2::-2].translate(_DOUBLED)).encode()) - _ZERO * len(digits)
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Aadhaar: the dihedral group of order ten finds every exchange of neighbours."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(place % 8):
            value = _VERHOEFF_TURN[value]
        check = _VERHOEFF_PRODUCT[check][value]
    return check == 0


def mod_97(iban: str) -> bool:
    """ISO 7064 MOD 97-10 as ISO 13616 has it: `iban` without separators, in upper case."""
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10: the last digit of a German tax identification number."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def cpf(digits: str) -> bool:
    """The two check digits of a Brazilian CPF; eleven times one digit is none."""
    if len(set(digits)) == 1:
        return False
    for place in (9, 10):
        check = weighted(digits[:place], tuple(range(place + 1, 1, -1))) * 10 % 11 % 10
        if check != int(digits[place]):
            return False
    return True


def codice_fiscale(code: str) -> bool:
    """The last letter of an Italian tax code of sixteen characters, in upper case."""
    total = sum(_CF_ODD[character] for character in code[0:15:2])
    total += sum(int(character, 36) - (0 if character.isdigit() else 10) for character in code[1:15:2])
    return chr(total % 26 + ord("A")) == code[15]
