"""Starts ministack with three corrections."""

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import kinesis, lambda_svc

# Its own pollers do not follow the rules of AWS. This project polls in their place, so that the event source mappings can have
# the state that they would have on AWS.
lambda_svc._ensure_poller = lambda: None

derive_resource = iam_actions.extract_resource_arn


def resource(service, *request):
    """Returns the ARN that a request is authorized for.

    `GetParameter` takes a name or an ARN (Systems Manager API reference). ministack takes an ARN for a name, and authorizes
    `arn:aws:ssm:REGION:ACCOUNT:parameter/arn:aws:ssm:REGION:ACCOUNT:parameter/NAME`, which no policy allows.
    """
    arn = derive_resource(service, *request)
    _, separator, given = arn.partition(":parameter/arn:")
    return f"arn:{given}" if service == "ssm" and separator else arn


iam_actions.extract_resource_arn = resource

MIB = 1024 * 1024


def replace_constants(function, replacements):
    constants = function.__code__.co_consts
    if not set(replacements) <= {constant for constant in constants if isinstance(constant, int)}:
        raise SystemExit(f"{function.__name__} of this ministack has other limits")
    replaced = tuple(replacements.get(one, one) for one in constants)
    function.__code__ = function.__code__.replace(co_consts=replaced)


# A stream can take records of up to 10 MiB (`MaxRecordSizeInKiB`), and a call can have as many (Kinesis API reference,
# `PutRecords`). ministack knows only the limits of before: 1 MiB, and 5 MiB a call.
replace_constants(kinesis._put_record, {MIB: 10 * MIB})
replace_constants(kinesis._put_records, {MIB: 10 * MIB, 5 * MIB: 10 * MIB})

main()
