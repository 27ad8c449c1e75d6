"""Signs requests to Route 53 anew as botocore does, and compares. JSON in, JSON out: see README.md."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CREDENTIALS = Credentials("AKIAFAKEKEYID0123456", "fake-secret-access-key-0123456789")
UNSIGNED = {"authorization", "content-length", "user-agent", "accept", "accept-encoding", "x-amz-date"}


def authorization(sent):
    then = datetime.datetime.strptime(sent["headers"]["x-amz-date"], "%Y%m%dT%H%M%SZ")
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: (
        then if remove_tzinfo else then.replace(tzinfo=datetime.timezone.utc)
    )
    headers = {name: value for name, value in sent["headers"].items() if name not in UNSIGNED}
    request = AWSRequest(method=sent["method"], url=sent["url"], headers=headers, data=sent["body"].encode())
    botocore.auth.SigV4Auth(CREDENTIALS, "route53", "us-east-1").add_auth(request)
    return request.headers["Authorization"]


def main():
    mistakes = []
    for sent in json.load(sys.stdin)["requests"]:
        wanted, found = authorization(sent), sent["headers"].get("authorization")
        if wanted != found:
            mistakes.append(f"{sent['method']} {sent['url']}: {found}, not {wanted}")
    json.dump({"mistakes": mistakes}, sys.stdout)


if __name__ == "__main__":
    main()
