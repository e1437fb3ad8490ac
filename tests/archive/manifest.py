"""Says of an archive: rows by its manifest, whether every checksum is that of its file, the first time, how many files."""
import hashlib
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
files = json.loads((folder / "manifest.json").read_text())["files"]
same = all(hashlib.sha256((folder / file["file"]).read_bytes()).hexdigest() == file["sha256"] for file in files)
print(sum(file["rows"] for file in files), same, files[0]["first"], len(files))
