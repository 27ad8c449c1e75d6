"""Signs one request after RFC 9421 with the library http-message-signatures. JSON in, JSON out: see README.md.

Besides the common keys it takes `components` (a list, instead of those that nicgate asks for), `label`, `tag` and
`include_alg`.
"""

import datetime
import json
import sys
import uuid

import requests
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms


def main():
    wanted = json.load(sys.stdin)
    body = wanted.get("body", "").encode()
    request = requests.Request(
        wanted["method"], wanted["url"], headers=wanted.get("headers", {}), data=body or None
    ).prepare()
    keys = {wanted["device"]: wanted["key"].encode()}
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.HMAC_SHA256,
        key_resolver=MappingKeyResolver(public_keys=keys, private_keys=keys),
    )
    created = wanted.get("created")
    signer.sign(
        request,
        key_id=wanted["device"],
        created=datetime.datetime.fromtimestamp(created, datetime.timezone.utc) if created else None,
        nonce=wanted.get("nonce", uuid.uuid4().hex),
        label=wanted.get("label", "sig1"),
        tag=wanted.get("tag", "nicgate"),
        include_alg=wanted.get("include_alg", True),
        covered_component_ids=wanted.get("components", ["@method", "@authority", "@path", "@query"]),
        body=body or None,
    )
    json.dump({"headers": dict(request.headers.items())}, sys.stdout)


if __name__ == "__main__":
    main()
