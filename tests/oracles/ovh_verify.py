"""Holds signatures of OVH calls against the official Python package."""

import json
import sys
import urllib.parse

import ovh

SECRETS = {
    "application_key": "fake-application-key-01",
    "application_secret": "fake-application-secret-0123456789",
    "consumer_key": "fake-consumer-key-0123456789",
}


class Captured(Exception):
    """Thrown in place of sending."""


def signed_by_package(request, timestamp):
    """The headers that the package would send with the same request at the same time."""
    client = ovh.Client(endpoint="ovh-eu", **SECRETS)
    parts = urllib.parse.urlsplit(request["url"])
    client._endpoint = f"{parts.scheme}://{parts.netloc}"
    client._time_delta = 0
    seen = {}

    def capture(method, url, **rest):
        seen.update(method=method, url=url, headers=rest["headers"], body=rest.get("data", ""))
        raise Captured

    client._session.request = capture
    ovh.client.time.time = lambda: float(timestamp)
    body = json.loads(request["body"]) if request["body"] else None
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        client.raw_call(request["method"], path, body)
    except Captured:
        return seen
    raise RuntimeError("the package sent nothing")


def main():
    mistakes = []
    for request in json.load(sys.stdin)["requests"]:
        headers = {name.lower(): value for name, value in request["headers"].items()}
        name = f"{request['method']} {request['url']}"
        expected = signed_by_package(request, headers.get("x-ovh-timestamp", "0"))
        if (expected["body"] or "") != request["body"]:
            mistakes.append(f"{name}: the package would send {expected['body']}")
        for field in ("X-Ovh-Application", "X-Ovh-Consumer", "X-Ovh-Timestamp", "X-Ovh-Signature"):
            if headers.get(field.lower()) != str(expected["headers"].get(field)):
                mistakes.append(f"{name}: {field} is {headers.get(field.lower())}, not {expected['headers'].get(field)}")
    json.dump({"mistakes": mistakes}, sys.stdout)


if __name__ == "__main__":
    main()
