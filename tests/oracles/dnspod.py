"""Signs requests to Tencent Cloud's DNSPod anew as the vendor's SDK does, and compares. JSON in, JSON out: see README.md."""

import json
import sys
from unittest import mock
from urllib.parse import urlsplit

from tencentcloud.common import abstract_client, credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile

SECRET_ID, SECRET_KEY = "AKIDfakesecretid0123456789", "fake-secret-key-0123456789"


class Client(abstract_client.AbstractClient):
    _apiVersion = "2021-03-23"
    _endpoint = "dnspod.tencentcloudapi.com"
    _service = "dnspod"


def authorization(sent):
    headers, body = sent["headers"], json.loads(sent["body"])
    profile, host = ClientProfile(), urlsplit(sent["url"]).netloc
    profile.httpProfile.endpoint = host
    client = Client(credential.Credential(SECRET_ID, SECRET_KEY), "", profile)
    request = RequestInternal(host, "POST", "/")
    # The SDK would write the JSON with blanks; what is signed is what was sent.
    with (
        mock.patch.object(abstract_client.time, "time", lambda: int(headers["x-tc-timestamp"])),
        mock.patch.object(abstract_client.json, "dumps", lambda _: sent["body"]),
    ):
        client._build_req_with_tc3_signature(headers["x-tc-action"], body, request)
    return request.header["Authorization"]


def main():
    mistakes = []
    for sent in json.load(sys.stdin)["requests"]:
        wanted, found = authorization(sent), sent["headers"].get("authorization")
        if wanted != found:
            mistakes.append(f"{sent['headers'].get('x-tc-action')}: {found}, not {wanted}")
    json.dump({"mistakes": mistakes}, sys.stdout)


if __name__ == "__main__":
    main()
