//! The rules of this project, `infra/policy/promises.guard`, applied by cfn-guard.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::finding::{Finding, new_log, read_log};
use crate::error::{LocalError, Result};
use crate::process::Program;
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::tools;
use crate::workspace::Workspace;

/// The rules, relative to the workspace.
pub const RULES: &str = "infra/policy/promises.guard";

/// cfn-guard with the rules.
#[derive(Debug, Clone)]
pub struct Guard {
    interpreter: Interpreter,
    program: PathBuf,
    rules: PathBuf,
}

/// The result of the rules for one template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    #[serde(rename = "name")]
    pub template: PathBuf,
    #[serde(rename = "not_compliant")]
    pub violations: Vec<Violation>,
    /// The rules that found no resource to check.
    pub not_applicable: Vec<String>,
    /// The rules that passed.
    #[serde(rename = "compliant")]
    pub passed: Vec<String>,
}

/// A rule that a template violates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Violation {
    /// cfn-guard has no other kind at this level.
    Rule {
        name: String,
        /// The clauses that failed, nested as cfn-guard writes them.
        checks: Vec<Value>,
    },
}

impl Violation {
    /// Returns the name of the rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        let Self::Rule { name, .. } = self;
        name
    }

    /// Returns what is wrong and where, without repetitions. Prefers clauses for which the rule has a message.
    fn messages(&self) -> BTreeSet<String> {
        let Self::Rule { checks, .. } = self;
        let mut clauses = Vec::new();
        for check in checks {
            collect_clauses(check, &mut clauses);
        }
        let with_message = clauses.iter().filter(|clause| clause.message.is_some());
        let mut messages: BTreeSet<String> = with_message.map(Clause::to_line).collect();
        if messages.is_empty() {
            messages.extend(clauses.iter().map(Clause::to_line));
        }
        messages
    }
}

/// A clause that failed.
struct Clause<'a> {
    context: &'a str,
    message: Option<&'a str>,
    path: Option<&'a str>,
}

impl Clause<'_> {
    fn to_line(&self) -> String {
        let message = self.message.unwrap_or(self.context.trim());
        match self.path {
            Some(path) => format!("{message} ({path})"),
            None => message.to_owned(),
        }
    }
}

/// Collects clauses at any depth, below disjunctions and blocks. A clause is an object with a context and messages.
fn collect_clauses<'a>(value: &'a Value, found: &mut Vec<Clause<'a>>) {
    if let (Some(context), Some(messages)) = (value["context"].as_str(), value.get("messages")) {
        let text = |text: &'a Value| text.as_str().filter(|text| !text.is_empty());
        found.push(Clause {
            context,
            message: text(&messages["custom_message"]),
            path: first_path(&value["check"]),
        });
    }
    match value {
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_clauses(value, found)),
        Value::Object(members) => members
            .values()
            .for_each(|value| collect_clauses(value, found)),
        _ => {}
    }
}

/// Returns the first path in the template that a clause names.
fn first_path(check: &Value) -> Option<&str> {
    match check {
        Value::Object(members) => match members.get("path").and_then(Value::as_str) {
            Some(path) if !path.is_empty() => Some(path),
            _ => members.values().find_map(first_path),
        },
        Value::Array(values) => values.iter().find_map(first_path),
        _ => None,
    }
}

impl Guard {
    /// Installs cfn-guard if necessary.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the last lines of cargo's output.
    pub async fn new(
        workspace: &Workspace,
        interpreter: &Interpreter,
        progress: Progress,
    ) -> Result<Self> {
        let program = tools::GUARD
            .install(workspace, interpreter, progress)
            .await?;
        Ok(Self {
            interpreter: interpreter.clone(),
            program,
            rules: workspace.root().join(RULES),
        })
    }

    /// Applies the rules to each template in a directory. cfn-guard reads JSON, and YAML without aliases.
    ///
    /// # Errors
    /// [`LocalError::Step`] if cfn-guard cannot apply the rules.
    pub async fn judge(&self, templates: &Path, log: &Path) -> Result<Vec<Verdict>> {
        let mut running = Program::new(self.interpreter.path(), &self.program, log)
            .args(["validate", "--structured", "--output-format", "json"])
            .args(["--show-summary", "none", "--rules"])
            .arg(&self.rules)
            .arg("--data")
            .arg(templates)
            .spawn()?;
        let status = running.exited().await?;
        let output = read_log(log)?;
        let verdicts: Vec<Verdict> = serde_json::from_str(&output).unwrap_or_default();
        // If cfn-guard cannot read the rules, it continues without any.
        let has_rules =
            |verdict: &Verdict| !(verdict.passed.is_empty() && verdict.violations.is_empty());
        let passed = verdicts.iter().all(|verdict| verdict.violations.is_empty());
        if verdicts.is_empty() || !verdicts.iter().all(has_rules) || passed != status.success() {
            return Err(running.failure("cfn-guard"));
        }
        Ok(verdicts)
    }

    /// Applies the rules to `template`. `document` is its content.
    pub(super) async fn check(
        &self,
        template: &Path,
        document: &Value,
        directory: &Path,
        progress: Progress,
    ) -> Result<Vec<Finding>> {
        let step = progress.step("Checking the template (cfn-guard)");
        let plain = directory.join("template.json");
        std::fs::write(&plain, document.to_string())
            .map_err(|source| LocalError::file(&plain, source))?;
        let log = new_log(directory, "cfn-guard.log");
        let verdicts = self.judge(&plain, &log).await?;
        step.done();
        Ok(verdicts
            .iter()
            .flat_map(|verdict| findings(verdict, template))
            .collect())
    }
}

/// A rule that found no resource is a finding too, because the resource it protects is missing.
fn findings(verdict: &Verdict, template: &Path) -> Vec<Finding> {
    let finding = |rule: &str, message: String| Finding {
        line: None,
        rule: rule.to_owned(),
        message,
        template: template.to_path_buf(),
    };
    let violations = verdict.violations.iter().flat_map(|violation| {
        let messages = violation.messages().into_iter();
        messages.map(|message| finding(violation.rule(), format!("violated: {message}")))
    });
    let missing = verdict.not_applicable.iter().map(|rule| {
        finding(
            rule,
            "The template has no resource that this rule applies to.".to_owned(),
        )
    });
    violations.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(violations: &Value, not_applicable: &[&str]) -> Verdict {
        let verdict = json!({
            "name": "t.json", "status": "FAIL", "metadata": {}, "compliant": [],
            "not_compliant": violations, "not_applicable": not_applicable,
        });
        serde_json::from_value(verdict).unwrap()
    }

    fn lines(verdict: &Verdict) -> Vec<String> {
        let findings = findings(verdict, Path::new("template.yaml"));
        findings.iter().map(ToString::to_string).collect()
    }

    /// A clause as cfn-guard writes it.
    fn clause(message: &str, path: &str) -> Value {
        json!({"Clause": {"Binary": {
            "context": " X EQUALS  1",
            "messages": {"custom_message": message, "error_message": "long"},
            "check": {"Resolved": {"from": {"path": path, "value": 2}, "to": {"path": "", "value": 1}}},
        }}})
    }

    #[test]
    fn shows_message_and_path_of_a_failed_clause() {
        let disjunction = json!({"Disjunctions": {"checks": [
            clause("", "/Resources/A"), clause("One role each.", "/Resources/A"), clause("One role each.", "/Resources/A"),
        ]}});
        let rule = json!([{"Rule": {"name": "one_role", "metadata": {}, "checks": [disjunction]}}]);
        assert_eq!(
            lines(&verdict(&rule, &[])),
            ["template.yaml: one_role: violated: One role each. (/Resources/A)"]
        );
    }

    #[test]
    fn shows_the_clause_of_a_rule_without_message() {
        let rule = json!([{"Rule": {"name": "one", "metadata": {}, "checks": [clause("", "")]}}]);
        assert_eq!(
            lines(&verdict(&rule, &[])),
            ["template.yaml: one: violated: X EQUALS  1"]
        );
    }

    #[test]
    fn reports_rules_without_resources() {
        assert_eq!(
            lines(&verdict(&json!([]), &["kept"])),
            ["template.yaml: kept: The template has no resource that this rule applies to."]
        );
    }

    #[tokio::test]
    async fn fails_if_rules_cannot_be_read() {
        let interpreter = Interpreter::find().await.unwrap();
        let workspace = Workspace::here();
        let guard = Guard::new(&workspace, &interpreter, Progress::Silent);
        let mut guard = guard.await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let template = file("template.json", "{\"Resources\": {}}");
        for (name, rules) in [("broken", "rule one { what is this }"), ("none", "")] {
            guard.rules = file(&format!("{name}.guard"), rules);
            let log = directory.path().join(format!("{name}.log"));
            let judged = guard.judge(&template, &log).await;
            assert!(
                matches!(judged, Err(LocalError::Step { .. })),
                "{name}: {judged:?}"
            );
        }
    }
}
