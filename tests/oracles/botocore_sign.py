"""Signs one request with AWS SigV4 as botocore does. JSON in, JSON out: see README.md."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def main():
    wanted = json.load(sys.stdin)
    if "created" in wanted:
        then = datetime.datetime.fromtimestamp(wanted["created"], datetime.timezone.utc)
        botocore.auth.get_current_datetime = lambda remove_tzinfo=True: (
            then.replace(tzinfo=None) if remove_tzinfo else then
        )
    request = AWSRequest(
        method=wanted["method"],
        url=wanted["url"],
        headers=wanted.get("headers", {}),
        data=wanted.get("body", "").encode(),
    )
    credentials = Credentials(wanted["device"], wanted["key"])
    botocore.auth.SigV4Auth(credentials, "ddns", wanted.get("region", "auto")).add_auth(request)
    json.dump({"headers": dict(request.headers.items())}, sys.stdout)


if __name__ == "__main__":
    main()
