"""Pushes a file of newline-delimited JSON into one partition, each line exactly once, whoever dies in between.

    python3 producer.py SOCKET TABLE PARTITION FILE [landed|stored]

It prints what the sidecar answers.
"""
import http.client, itertools, json, random, socket, sys, time, urllib.parse


class Sidecar(http.client.HTTPConnection):
    """HTTP over the sidecar's Unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])


def call(method, path, body=None):
    """Makes a request, and makes it again until it has an answer that trying again doesn't change."""
    while True:
        try:
            sidecar.request(method, path, body)
            response = sidecar.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):  # no answer, or not all of it
            sidecar.close()
            time.sleep(random.random())
            continue
        print(text.decode(), end="", flush=True)
        if response.status not in (429, 503) or not response.getheader("Retry-After"):
            return response.status, json.loads(text)
        time.sleep(int(response.getheader("Retry-After")))


table, name, file, *ack = sys.argv[2:]
sidecar = Sidecar("localhost")
partition = f"/v1/tables/{table}/partitions/{urllib.parse.quote(name, safe='')}"
status, answer = call("GET", partition)
position = answer.get("position", "")  # the file's offset from which on rows are needed; "": from its beginning
with open(file, "rb") as source:
    while status in (200, 412):
        source.seek(int(position or 0))
        rows = b"".join(line for line in itertools.islice(source, 500) if line.endswith(b"\n"))
        if not rows:
            sys.exit()
        query = {"expect": position, "position": int(position or 0) + len(rows), "ack": (ack or ["landed"])[0]}
        status, answer = call("POST", f"{partition}/rows?{urllib.parse.urlencode(query)}", rows)
        # 412: it is elsewhere, and so goes on there.
        position = answer.get("current_position" if status == 412 else "position", "")
sys.exit(f"{status}: {answer['message']}")  # somebody has to mend this
