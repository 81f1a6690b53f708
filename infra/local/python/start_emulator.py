"""Starts ministack with two corrections."""

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import lambda_svc

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

main()
