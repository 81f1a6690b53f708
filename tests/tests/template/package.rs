//! The template of the package is what SAM's own translator makes of `template.yaml`.

use std::collections::BTreeSet;

use onewrite_local::binaries::Architecture;
use onewrite_local::check;
use onewrite_local::progress::Progress;
use onewrite_local::template::parse;
use onewrite_local::workspace::Workspace;
use onewrite_package::template::translate;
use onewrite_tests::template::repository;
use serde_json::{Value, json};

use crate::translated;

const VERSION: &str = "1.2.3";

fn packaged() -> String {
    let source = std::fs::read_to_string(repository("template.yaml")).unwrap();
    translate(&source, VERSION, &Architecture::ALL).unwrap()
}

/// Writes `Fn::GetAtt` as [`parse`] does: `[A, Arn]` becomes `A.Arn`.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(names) = members.get_mut("Fn::GetAtt")
                && let Some(list) = names.as_array()
            {
                let list: Vec<&str> = list.iter().map(|name| name.as_str().unwrap()).collect();
                *names = list.join(".").into();
            }
            members.values_mut().for_each(normalize);
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        _ => {}
    }
}

#[test]
fn template_of_the_package_is_what_sam_translates() {
    let mut sam = translated::translate_with_defaults().clone();
    normalize(&mut sam);
    let mut package = parse(&packaged()).unwrap();
    let mut functions = BTreeSet::new();
    for (name, resource) in sam["Resources"].as_object_mut().unwrap() {
        if resource["Type"] != "AWS::Lambda::Function" {
            continue;
        }
        functions.insert(name.clone());
        let properties = resource["Properties"].as_object_mut().unwrap();
        // SAM creates these from the uploaded directory; the tag is false for a package.
        let tags = properties.remove("Tags").unwrap();
        assert_eq!(tags, json!([{"Key": "lambda:createdBy", "Value": "SAM"}]));
        let code = package["Resources"][name]["Properties"]["Code"].clone();
        assert!(
            code["S3Key"]["Fn::Sub"]
                .as_str()
                .unwrap()
                .contains("1.2.3/"),
            "{code}"
        );
        properties.insert("Code".into(), code);
        // Only `sam build` reads it.
        resource.as_object_mut().unwrap().remove("Metadata");
    }
    assert_eq!(functions.len(), 3);
    let names = |template: &Value| -> Vec<String> {
        template["Resources"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(names(&package), names(&sam));
    for name in names(&sam) {
        assert_eq!(
            package["Resources"][&name], sam["Resources"][&name],
            "{name}"
        );
    }
    for section in ["Conditions", "Mappings", "Outputs", "Rules"] {
        assert_eq!(package[section].take(), sam[section], "{section}");
    }
    assert_eq!(package.get("Transform"), None);
}

#[tokio::test]
async fn template_of_the_package_passes_the_checks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template.yaml");
    std::fs::write(&path, packaged()).unwrap();
    let findings = check::check(&Workspace::here(), &path, Progress::Silent).await;
    let findings: Vec<String> = findings.unwrap().iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}
