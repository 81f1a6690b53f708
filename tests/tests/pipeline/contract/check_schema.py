"""Checks documents against a JSON Schema. Standard input: {"schema": ..., "documents": [...]}; output: one boolean each."""

import json
import sys

from jsonschema import Draft202012Validator

task = json.load(sys.stdin)
Draft202012Validator.check_schema(task["schema"])
validator = Draft202012Validator(task["schema"])
json.dump([validator.is_valid(document) for document in task["documents"]], sys.stdout)
