//! `cargo local check` accepts the template and finds mistakes in changed ones.

use std::path::Path;

use onewrite_local::check::{Finding, check};
use onewrite_local::error::LocalError;
use onewrite_local::progress::Progress;
use onewrite_local::workspace::Workspace;

async fn check_with(changes: &[(&str, &str)]) -> Vec<Finding> {
    let workspace = Workspace::here();
    let mut text = std::fs::read_to_string(workspace.root().join("template.yaml")).unwrap();
    for (right, wrong) in changes {
        assert!(text.contains(right), "{right}");
        text = text.replacen(right, wrong, 1);
    }
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template.yaml");
    std::fs::write(&template, text).unwrap();
    check(&workspace, &template, Progress::Silent)
        .await
        .unwrap()
}

#[tokio::test]
async fn accepts_the_template_and_finds_mistakes() {
    assert_eq!(check_with(&[]).await, []);

    let findings = check_with(&[
        (": NEW_AND_OLD_IMAGES", ": NEW"),
        ("MaximumRetryAttempts: -1", "MaximumRetryAttempts: -2"),
        ("{Status: Enabled}", "{Status: Suspended}"),
    ])
    .await;
    let rules: Vec<&str> = findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect();
    let expected = ["E3030", "E3034", "CKV_AWS_21", "bounded_retries"];
    assert_eq!(rules, expected, "{findings:?}");
}

#[tokio::test]
async fn reports_an_unreadable_template_as_a_finding() {
    let findings = check_with(&[("Resources:", "Resources: [")]).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[tokio::test]
async fn fails_if_the_template_does_not_exist() {
    let nowhere = Path::new("/nowhere/template.yaml");
    let checked = check(&Workspace::here(), nowhere, Progress::Silent).await;
    assert!(
        matches!(checked, Err(LocalError::Step { .. })),
        "{checked:?}"
    );
}
