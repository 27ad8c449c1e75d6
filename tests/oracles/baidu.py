"""Signs requests to Baidu AI Cloud anew as the vendor's SDK does, and compares. JSON in, JSON out: see README.md."""

import datetime
import json
import sys
from urllib.parse import parse_qsl, urlsplit

from baidubce.auth import bce_v1_signer
from baidubce.auth.bce_credentials import BceCredentials

CREDENTIALS = BceCredentials("fakebaiduaccesskey0123456789", "fake-baidu-secret-key-0123456789")
SIGNED = {b"host", b"x-bce-date"}


def authorization(sent):
    url = urlsplit(sent["url"])
    then = datetime.datetime.strptime(sent["headers"]["x-bce-date"], "%Y-%m-%dT%H:%M:%SZ")
    seconds = int(then.replace(tzinfo=datetime.timezone.utc).timestamp())
    headers = {name.encode(): value.encode() for name, value in sent["headers"].items()}
    parameters = {name.encode(): value.encode() for name, value in parse_qsl(url.query, keep_blank_values=True)}
    signature = bce_v1_signer.sign(
        CREDENTIALS, sent["method"].encode(), url.path.encode(), headers, parameters, seconds, 1800, SIGNED
    )
    return signature.decode()


def main():
    mistakes = []
    for sent in json.load(sys.stdin)["requests"]:
        wanted, found = authorization(sent), sent["headers"].get("authorization", "")
        # The order of the names is the caller's.
        if [wanted.split("/")[at] for at in (0, 1, 2, 3, 5)] != [found.split("/")[at] for at in (0, 1, 2, 3, 5)]:
            mistakes.append(f"{sent['method']} {sent['url']}: {found}, not {wanted}")
    json.dump({"mistakes": mistakes}, sys.stdout)


if __name__ == "__main__":
    main()
