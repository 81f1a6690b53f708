"""Translates a SAM template as CloudFormation does. Runs in the environment of the SAM CLI.

    translate.py TEMPLATE

Standard input is a JSON array of parameter values, each an object. Prints a JSON array with one translated template for each of
them.
"""

import copy
import json
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samcli.yamlhelper import yaml_parse  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402


class NoManagedPolicies:
    """The template names no managed policy, so nothing must be loaded from IAM."""

    def load(self):
        return {}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        # Dumped and parsed again, because YAML aliases would share what the translator changes.
        template = json.loads(json.dumps(yaml_parse(file.read())))
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            # As `sam package` writes it.
            resource["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": name}
    chosen = json.load(sys.stdin)
    json.dump([transform(copy.deepcopy(template), values, NoManagedPolicies()) for values in chosen], sys.stdout)


if __name__ == "__main__":
    main()
