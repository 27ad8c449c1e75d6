"""Verifies one request after RFC 9421 with the library http-message-signatures. JSON in, JSON out: see README.md.

`max_age` (seconds; default one day, null for any) says how old the signature may be.
"""

import datetime
import json
import sys

import requests
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver, algorithms


def main():
    wanted = json.load(sys.stdin)
    body = wanted.get("body", "").encode()
    # The URL stays as it was signed: preparing it would spell it anew.
    request = requests.Request(wanted["method"], wanted["url"], headers=wanted["headers"], data=body or None).prepare()
    request.url = wanted["url"]
    keys = {wanted["device"]: wanted["key"].encode()}
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithms.HMAC_SHA256,
        key_resolver=MappingKeyResolver(public_keys=keys, private_keys=keys),
    )
    max_age = wanted.get("max_age", 86400)
    try:
        (result,) = verifier.verify(
            request,
            expect_tag="nicgate",
            max_age=datetime.timedelta(seconds=max_age) if max_age is not None else None,
            require_components=["@method", "@authority", "@path", "@query"],
            body=body or None,
        )
    except InvalidSignature as why:
        json.dump({"ok": False, "why": str(why)}, sys.stdout)
        return
    json.dump({"ok": True, "components": list(result.covered_components)}, sys.stdout)


if __name__ == "__main__":
    main()
