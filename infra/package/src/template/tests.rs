use onewrite_local::template::parse;
use onewrite_local::workspace::Workspace;
use serde_json::{Value, json};

use super::*;

const ALL: [Architecture; 2] = Architecture::ALL;

fn source() -> String {
    std::fs::read_to_string(Workspace::here().root().join("template.yaml")).unwrap()
}

/// The template of the repository and that of its package.
fn both() -> (Value, Value) {
    let source = source();
    let packaged = translate(&source, "1.2.3", &ALL).unwrap();
    (parse(&source).unwrap(), parse(&packaged).unwrap())
}

/// Removes a member, which must exist.
fn take(value: &mut Value, name: &str) -> Value {
    value
        .as_object_mut()
        .and_then(|members| members.remove(name))
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn changes_only_transform_globals_code_parameters_and_functions() {
    let (mut source, mut packaged) = both();
    take(&mut source, "Transform");
    take(&mut source, "Globals");
    take(&mut packaged["Parameters"], CODE_BUCKET);
    take(&mut packaged["Parameters"], CODE_PREFIX);
    for template in [&mut source, &mut packaged] {
        take(&mut template["Parameters"]["Architecture"], "Description");
        for name in ["IngestFunction", "ForwardFunction", "CompleteFunction"] {
            take(&mut template["Resources"], name);
        }
    }
    let group = json!({"Label": {"default": "Code"}, "Parameters": [CODE_BUCKET, CODE_PREFIX]});
    let groups = &mut packaged["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    assert_eq!(groups.as_array_mut().unwrap().remove(0), group);
    for section in [
        "Metadata",
        "Parameters",
        "Rules",
        "Conditions",
        "Mappings",
        "Resources",
        "Outputs",
    ] {
        assert!(source[section].is_object(), "{section}");
        assert_eq!(packaged[section], source[section], "{section}");
    }
    assert_eq!(packaged, source);
}

#[test]
fn functions_keep_their_properties_and_read_their_code_from_the_bucket() {
    let (source, packaged) = both();
    let globals = source["Globals"]["Function"].as_object().unwrap();
    for program in ["ingest", "forward", "complete"] {
        let name = format!("{}{}Function", &program[..1].to_uppercase(), &program[1..]);
        let mut expected = source["Resources"][&name].clone();
        take(&mut expected, "Metadata");
        expected["Type"] = "AWS::Lambda::Function".into();
        let properties = &mut expected["Properties"];
        take(properties, "CodeUri");
        for (key, value) in globals {
            properties[key] = value.clone();
        }
        properties["TracingConfig"] = json!({"Mode": take(properties, "Tracing")});
        let key = format!("${{CodePrefix}}1.2.3/{program}-${{Architecture}}.zip");
        properties["Code"] = json!({"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Fn::Sub": key}});
        assert_eq!(packaged["Resources"][&name], expected, "{name}");
    }
}

#[test]
fn a_package_for_one_architecture_accepts_no_other() {
    let text = translate(&source(), "1.2.3", &[Architecture::X86_64]).unwrap();
    let packaged = parse(&text).unwrap();
    let architecture = &packaged["Parameters"]["Architecture"];
    assert_eq!(architecture["Default"], "x86_64");
    assert_eq!(architecture["AllowedValues"], json!(["x86_64"]));
}

/// CloudFormation refuses aliases, and templates of more than a megabyte.
#[test]
fn has_no_aliases_and_fits_into_a_bucket() {
    let text = translate(&source(), "1.2.3", &ALL).unwrap();
    assert!(text.len() < 1024 * 1024, "{}", text.len());
    let has_alias = |line: &str| {
        let value = line.rsplit(": ").next().unwrap_or_default();
        let value = value.trim_start_matches(['-', ' ']);
        value.starts_with('&') || value.starts_with('*')
    };
    assert_eq!(text.lines().find(|line| has_alias(line)), None);
}

#[test]
fn refuses_what_it_cannot_translate() {
    let minimal = |function: &str, globals: &str| {
        format!(
            "Metadata: {{AWS::CloudFormation::Interface: {{ParameterGroups: []}}}}\n\
             Parameters: {{Architecture: {{Type: String}}}}\n{globals}\n\
             Resources: {{A: {{Type: AWS::Serverless::Function, Metadata: {{BuildProperties: {{Binary: a}}}}, {function}}}}}\n"
        )
    };
    let result = |function, globals| translate(&minimal(function, globals), "1", &ALL);
    assert!(result("Properties: {CodeUri: a}", "").is_ok());
    for (function, globals, reason) in [
        ("Properties: {Events: {}}", "", "the property Events"),
        (
            "Properties: {Layers: [a]}",
            "Globals: {Function: {Layers: [b]}}",
            "Layers is in Globals too",
        ),
        (
            "Properties: {}",
            "Globals: {Api: {Name: a}}",
            "only Globals.Function",
        ),
    ] {
        let error = result(function, globals).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let other = "Resources: {A: {Type: AWS::Serverless::Api}}";
    let error = translate(other, "1", &ALL).unwrap_err().to_string();
    assert!(error.contains("AWS::Serverless::Api"), "{error}");
}
