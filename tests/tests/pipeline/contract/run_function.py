"""Calls the handler of a Python file with each event of standard input, and prints the answers."""

import importlib.util
import json
import sys

spec = importlib.util.spec_from_file_location("function", sys.argv[1])
function = importlib.util.module_from_spec(spec)
spec.loader.exec_module(function)
json.dump([function.handler(event, None) for event in json.load(sys.stdin)], sys.stdout)
