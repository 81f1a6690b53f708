//! The template in a form that the emulator can deploy.

use std::path::Path;

use serde_yaml_ng::Value as Yaml;

use crate::error::{LocalError, Result};
use crate::parameters::{LOCAL_OUTAGE_SECONDS, LOCAL_PARAMETERS};

/// The name of the parameter that says that requests may use plain HTTP.
const REQUIRE_TLS: &str = "RequireTls";

/// The condition on provisioned pollers, and the parameter that it reads.
const POLLERS: &str = "HasPollers";
const CONCURRENCY: &str = "IngestConcurrency";

/// What the parameter accepts here. The emulator puts its name before the text.
const NUMBERS: &str = r"[2-9]|[1-9]\d|[1-9]\d\d|1000";
const NUMBERS_ONLY: &str =
    "must be a number from 2 to 1000 here: `cargo local` has no provisioned event pollers";

/// Actions that AWS also authorizes batches by, and the emulator's own actions for batches.
const BATCH_ACTIONS: [(&str, &str); 3] = [
    (
        "sqs:ChangeMessageVisibility",
        "sqs:ChangeMessageVisibilityBatch",
    ),
    ("sqs:SendMessage", "sqs:SendMessageBatch"),
    ("sns:Publish", "sns:PublishBatch"),
];

/// Reads the template at `source` and writes it to `target` with changes for the emulator.
///
/// The emulator's SAM transform uses the default of a parameter, where AWS uses the value that is given. Its alarms
/// support neither metric math nor dimensions, so the metrics of any function would set them off: here they watch a
/// metric that does not exist, and can only be set by hand.
///
/// `ingest` waits for an outage of [`LOCAL_OUTAGE_SECONDS`], so that six receives take seconds.
///
/// The emulator serves plain HTTP on the loopback interface, so the policies accept it. The parameter [`REQUIRE_TLS`], which only
/// this copy of the template has, says so to `onewrite doctor`.
///
/// The emulator authorizes a batch by an action of that name. AWS authorizes it by the action for one message and has no other
/// action (Service Authorization Reference, "Actions defined by Amazon SQS" and "Actions defined by Amazon SNS").
///
/// The emulator's conditions know neither `Fn::Sub` nor `Fn::Split`, and the event sources of this machine have no provisioned
/// pollers. So the condition [`POLLERS`] is false, and [`CONCURRENCY`] accepts a number only.
///
/// `code`, if given, is the prefix of the S3 URI that the code of each function has instead of its `CodeUri`.
///
/// # Errors
/// [`LocalError::File`], or [`LocalError::UnexpectedStack`] if the template is not YAML.
pub(crate) fn write(source: &Path, target: &Path, code: Option<&str>) -> Result<()> {
    let text = std::fs::read_to_string(source).map_err(|error| LocalError::file(source, error))?;
    let invalid =
        |error| LocalError::UnexpectedStack(format!("{} is not YAML: {error}", source.display()));
    let mut template: Yaml = serde_yaml_ng::from_str(&text).map_err(invalid)?;
    for (name, value) in LOCAL_PARAMETERS {
        if let Some(parameter) = template["Parameters"].get_mut(name) {
            parameter["Default"] = value.into();
        }
    }
    template["Parameters"][REQUIRE_TLS]["Type"] = "String".into();
    template["Parameters"][REQUIRE_TLS]["Default"] = "false".into();
    if let Some(condition) = template["Conditions"].get_mut(POLLERS) {
        *condition =
            serde_yaml_ng::from_str("{\"Fn::Equals\": [pollers, none]}").map_err(invalid)?;
        let concurrency = &mut template["Parameters"][CONCURRENCY];
        concurrency["AllowedPattern"] = NUMBERS.into();
        concurrency["ConstraintDescription"] = NUMBERS_ONLY.into();
    }
    accept_plain_http(&mut template["Resources"]);
    name_batch_actions(&mut template["Resources"]);
    let resources = template["Resources"].as_mapping_mut().into_iter().flatten();
    for (_, resource) in resources {
        if resource["Type"] == "AWS::CloudWatch::Alarm" {
            detach_alarm(&mut resource["Properties"]);
        }
        let path = ["Properties", "Environment", "Variables", "OUTAGE_SECONDS"];
        let outage = path
            .iter()
            .try_fold(&mut *resource, |value, name| value.get_mut(*name));
        if let Some(outage) = outage {
            *outage = LOCAL_OUTAGE_SECONDS.to_string().into();
        }
        if let (Some(prefix), "AWS::Serverless::Function") =
            (code, resource["Type"].as_str().unwrap_or_default())
        {
            let uri = &mut resource["Properties"]["CodeUri"];
            let directory = uri.as_str().unwrap_or_default();
            let function = directory.rsplit('/').next().unwrap_or_default();
            *uri = format!("{prefix}{function}.zip").into();
        }
    }
    let text = serde_yaml_ng::to_string(&template).map_err(invalid)?;
    std::fs::write(target, text).map_err(|error| LocalError::file(target, error))
}

/// Changes each condition on TLS so that no request meets it.
fn accept_plain_http(value: &mut Yaml) {
    match value {
        Yaml::Mapping(members) => {
            for (name, member) in members {
                if name == "aws:SecureTransport" {
                    *member = "emulated".into();
                } else {
                    accept_plain_http(member);
                }
            }
        }
        Yaml::Sequence(items) => items.iter_mut().for_each(accept_plain_http),
        Yaml::Tagged(tagged) => accept_plain_http(&mut tagged.value),
        _ => {}
    }
}

/// Adds the emulator's actions for batches to each statement that has the ones of AWS.
fn name_batch_actions(value: &mut Yaml) {
    match value {
        Yaml::Mapping(members) => {
            for (name, member) in members {
                if name == "Action" {
                    add_batch_actions(member);
                }
                name_batch_actions(member);
            }
        }
        Yaml::Sequence(items) => items.iter_mut().for_each(name_batch_actions),
        Yaml::Tagged(tagged) => name_batch_actions(&mut tagged.value),
        _ => {}
    }
}

/// Adds the emulator's actions to an action or a list of actions.
fn add_batch_actions(actions: &mut Yaml) {
    let mut listed = match actions.as_sequence() {
        Some(items) => items.clone(),
        None => vec![actions.clone()],
    };
    let is_listed = |(action, _): &&(&str, &str)| listed.iter().any(|item| item == *action);
    let added: Vec<Yaml> = BATCH_ACTIONS
        .iter()
        .filter(is_listed)
        .map(|(_, batch)| (*batch).into())
        .collect();
    if !added.is_empty() {
        listed.extend(added);
        *actions = listed.into();
    }
}

fn detach_alarm(properties: &mut Yaml) {
    if let Some(properties) = properties.as_mapping_mut() {
        properties.remove("Metrics");
        properties.remove("Dimensions");
    }
    properties["Namespace"] = "set-by-hand".into();
    properties["MetricName"] = "none".into();
    properties["Statistic"] = "Sum".into();
    properties["Period"] = 60.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = concat!(
        "Parameters:\n  IngestTimeoutSeconds: {Default: 30}\n  Mine: {Default: 1}\n",
        "  IngestConcurrency: {Default: \"50\", AllowedPattern: any}\n",
        "Conditions:\n  HasPollers: !Not [!Equals [!Select [1, !Split [\"-\", !Sub \"${IngestConcurrency}-\"]], \"\"]]\n",
        "Resources:\n",
        "  A: {Type: AWS::SQS::QueuePolicy, Properties: {Statement: [{Condition: {Bool: {aws:SecureTransport: \"false\"}}}]}}\n",
        "  B: {Type: AWS::CloudWatch::Alarm, Properties: {Metrics: [{Id: a}], Threshold: !Ref Mine}}\n",
        "  C: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/ingest, ",
        "Environment: {Variables: {OUTAGE_SECONDS: \"10800\"}}}}\n",
        "  D: {Type: AWS::IAM::Role, Properties: {Action: [sqs:ReceiveMessage, sqs:ChangeMessageVisibility]}}\n",
        "  E: {Type: AWS::IAM::Role, Properties: {Statement: [{Action: sqs:SendMessage}, {Action: sqs:*}, ",
        "!If [A, {Action: [sns:Publish, sqs:SendMessage]}, {}]]}}\n",
    );

    fn written(code: Option<&str>) -> Yaml {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&source, TEMPLATE).unwrap();
        write(&source, &target, code).unwrap();
        serde_yaml_ng::from_str(&std::fs::read_to_string(target).unwrap()).unwrap()
    }

    fn expected() -> Yaml {
        let mut template: Yaml = serde_yaml_ng::from_str(TEMPLATE).unwrap();
        template["Parameters"]["IngestTimeoutSeconds"]["Default"] = "1".into();
        let concurrency = &mut template["Parameters"]["IngestConcurrency"];
        concurrency["Default"] = "5".into();
        concurrency["AllowedPattern"] = NUMBERS.into();
        concurrency["ConstraintDescription"] = NUMBERS_ONLY.into();
        template["Conditions"]["HasPollers"] =
            serde_yaml_ng::from_str("{\"Fn::Equals\": [pollers, none]}").unwrap();
        template["Parameters"]["RequireTls"] =
            serde_yaml_ng::from_str("{Type: String, Default: \"false\"}").unwrap();
        let statement = &mut template["Resources"]["A"]["Properties"]["Statement"][0];
        statement["Condition"]["Bool"]["aws:SecureTransport"] = "emulated".into();
        let alarm = "{Threshold: !Ref Mine, Namespace: set-by-hand, MetricName: none, Statistic: Sum, Period: 60}";
        template["Resources"]["B"]["Properties"] = serde_yaml_ng::from_str(alarm).unwrap();
        let variables = &mut template["Resources"]["C"]["Properties"]["Environment"]["Variables"];
        variables["OUTAGE_SECONDS"] = LOCAL_OUTAGE_SECONDS.to_string().into();
        let actions =
            "[sqs:ReceiveMessage, sqs:ChangeMessageVisibility, sqs:ChangeMessageVisibilityBatch]";
        template["Resources"]["D"]["Properties"]["Action"] =
            serde_yaml_ng::from_str(actions).unwrap();
        let statements = "[{Action: [sqs:SendMessage, sqs:SendMessageBatch]}, {Action: sqs:*}, \
            !If [A, {Action: [sns:Publish, sqs:SendMessage, sqs:SendMessageBatch, sns:PublishBatch]}, {}]]";
        template["Resources"]["E"]["Properties"]["Statement"] =
            serde_yaml_ng::from_str(statements).unwrap();
        template
    }

    #[test]
    fn sets_local_parameters_as_defaults_and_detaches_alarms() {
        assert_eq!(written(None), expected());
    }

    #[test]
    fn points_functions_at_uploaded_packages() {
        let mut template = expected();
        template["Resources"]["C"]["Properties"]["CodeUri"] = "s3://b/ingest.zip".into();
        assert_eq!(written(Some("s3://b/")), template);
    }
}
