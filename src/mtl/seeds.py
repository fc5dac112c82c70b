"""Seeds derived from names: equal names, equal seed, on any machine."""

import hashlib


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed from anything that names what it is for: equal parts, equal seed, on any machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
