"""Runs the Python code of the documentation that reads a compressed payload.

Standard input: {"line": code with `value`, "command": code that reads Base64 from its standard input, "value": Base64}.
Output: what `text` is after the line, and what the command prints.
"""

import base64
import contextlib
import io
import json
import sys
import zlib

task = json.load(sys.stdin)
names = {"zlib": zlib, "value": base64.b64decode(task["value"])}
exec(task["line"], names)
# The AWS CLI ends its output with a new line.
sys.stdin = io.StringIO(task["value"] + "\n")
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(task["command"], {})
json.dump([names["text"], printed.getvalue()], sys.stdout)
