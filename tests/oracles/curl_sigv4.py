"""Records what the installed curl sends with --aws-sigv4: see README.md.

Reads `{"device", "key", "requests": [{"name", "target", "arguments": […]}]}`, where target is path and query, and
prints a list of what came in on loopback: `method`, `authority`, `path`, `query`, `headers`, `body`.
"""

import http.server
import json
import subprocess
import sys
import threading


class Recorder(http.server.BaseHTTPRequestHandler):
    heard = []

    def record(self):
        # http.server joins doubled slashes in `self.path`; the request line keeps them.
        target = self.requestline.split(" ")[1]
        path, mark, query = target.partition("?")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.heard.append({
            "method": self.command,
            "authority": self.headers.get("host", ""),
            "path": path,
            "query": query if mark else None,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": body.decode(),
        })
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = record

    def log_message(self, *_):
        pass


def main():
    wanted = json.load(sys.stdin)
    server = http.server.HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for request in wanted["requests"]:
        url = f"http://127.0.0.1:{server.server_port}{request['target']}"
        subprocess.run(
            ["curl", "-sS", "--aws-sigv4", "aws:amz:auto:ddns",
             "--user", f"{wanted['device']}:{wanted['key']}", *request.get("arguments", []), url],
            check=True,
        )
        Recorder.heard[-1]["name"] = request["name"]
    server.shutdown()
    json.dump(Recorder.heard, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
