"""Whom we believe what a request says about its client: `X-Forwarded-*` counts only from the configured proxies."""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_FOR, _SCHEME = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"
# Everything that some program takes for the client's address, scheme or host.
_CLAIMS = (
    *("HTTP_FORWARDED", "HTTP_FORWARDED_FOR", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP"),
    *("HTTP_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_X_CLUSTER_CLIENT_IP", "HTTP_X_SCHEME"),
    *("HTTP_CF_CONNECTING_IP", "HTTP_FASTLY_CLIENT_IP", "HTTP_X_ORIGINAL_HOST"),
)


def believed(application: Application, trusted: Sequence[Network]) -> Application:
    """Set address and scheme of the client from what a trusted proxy says, and remove every other claim.

    The host is never taken from a claim: the proxy passes the `Host` that it was asked for.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        chain, scheme = environ.get(_FOR, ""), environ.get(_SCHEME, "")
        for name in [name for name in environ if name.startswith("HTTP_X_FORWARDED")]:
            del environ[name]
        for name in _CLAIMS:
            environ.pop(name, None)
        peer = _address(environ.get("REMOTE_ADDR", ""))
        if peer is not None and _is_trusted(peer, trusted):
            environ["REMOTE_ADDR"] = str(_client(peer, chain, trusted))
            # Each proxy adds its own word at the end; only the last one is from the proxy that we trust.
            if scheme.rpartition(",")[2].strip().lower() == "https":
                environ["wsgi.url_scheme"] = "https"
        return application(environ, start_response)

    return answer


def _client(peer: Address, chain: str, trusted: Sequence[Network]) -> Address:
    """Return the first address, seen from us, that is no trusted proxy; the one before it if that is nonsense."""
    client = peer
    for word in reversed(chain.split(",")):
        found = _address(word.strip())
        if found is None:
            return client
        client = found
        if not _is_trusted(client, trusted):
            return client
    return client


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
