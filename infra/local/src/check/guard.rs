//! The project's own policy: the rules of `infra/policy/promises.guard`, applied by cfn-guard.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{Finding, new_log, read};
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

/// What the rules say of one template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// The template's file.
    #[serde(rename = "name")]
    pub template: PathBuf,
    /// The rules that refuse it.
    #[serde(rename = "not_compliant")]
    pub refused: Vec<Refused>,
    /// The rules that it has nothing for.
    pub not_applicable: Vec<String>,
    /// The rules that it keeps.
    #[serde(rename = "compliant")]
    pub kept: Vec<String>,
}

/// A rule that refuses a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Refused {
    /// cfn-guard has no other kind at this level.
    Rule {
        /// The rule.
        name: String,
        /// Its clauses that do not hold, as cfn-guard nests them.
        checks: Vec<Value>,
    },
}

impl Refused {
    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        let Self::Rule { name, .. } = self;
        name
    }

    /// What is wrong and where, each once: the rule's own words where a clause has some.
    fn messages(&self) -> BTreeSet<String> {
        let Self::Rule { checks, .. } = self;
        let mut clauses = Vec::new();
        for check in checks {
            collect_clauses(check, &mut clauses);
        }
        let worded = clauses.iter().filter(|clause| clause.message.is_some());
        let mut messages: BTreeSet<String> = worded.map(Clause::to_line).collect();
        if messages.is_empty() {
            messages.extend(clauses.iter().map(Clause::to_line));
        }
        messages
    }
}

/// A clause that does not hold.
struct Clause<'a> {
    context: &'a str,
    message: Option<&'a str>,
    place: Option<&'a str>,
}

impl Clause<'_> {
    fn to_line(&self) -> String {
        let message = self.message.unwrap_or(self.context.trim());
        match self.place {
            Some(place) => format!("{message} ({place})"),
            None => message.to_owned(),
        }
    }
}

/// Clauses stand at any depth, below disjunctions and blocks: they are what has a context and messages.
fn collect_clauses<'a>(value: &'a Value, found: &mut Vec<Clause<'a>>) {
    if let (Some(context), Some(messages)) = (value["context"].as_str(), value.get("messages")) {
        let text = |text: &'a Value| text.as_str().filter(|text| !text.is_empty());
        found.push(Clause {
            context,
            message: text(&messages["custom_message"]),
            place: place(&value["check"]),
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

/// Where in the template a clause does not hold: the first path that it names.
fn place(check: &Value) -> Option<&str> {
    match check {
        Value::Object(members) => match members.get("path").and_then(Value::as_str) {
            Some(path) if !path.is_empty() => Some(path),
            _ => members.values().find_map(place),
        },
        Value::Array(values) => values.iter().find_map(place),
        _ => None,
    }
}

impl Guard {
    /// Installs cfn-guard where that was not done before.
    ///
    /// # Errors
    /// [`LocalError::Step`] with cargo's last words.
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

    /// What the rules say of each template in a directory; cfn-guard reads JSON, and YAML without aliases.
    ///
    /// # Errors
    /// [`LocalError::Step`] where cfn-guard cannot apply the rules.
    pub async fn judge(&self, templates: &Path, log: &Path) -> Result<Vec<Verdict>> {
        let mut running = Program::new(self.interpreter.path(), &self.program, log)
            .args(["validate", "--structured", "--output-format", "json"])
            .args(["--show-summary", "none", "--rules"])
            .arg(&self.rules)
            .arg("--data")
            .arg(templates)
            .spawn()?;
        let status = running.exited().await?;
        let said = read(log)?;
        let verdicts: Vec<Verdict> = serde_json::from_str(&said).unwrap_or_default();
        // It goes on where it cannot read the rules, with none.
        let some = |verdict: &Verdict| !(verdict.kept.is_empty() && verdict.refused.is_empty());
        let is_kept = verdicts.iter().all(|verdict| verdict.refused.is_empty());
        if verdicts.is_empty() || !verdicts.iter().all(some) || is_kept != status.success() {
            return Err(running.failure("cfn-guard"));
        }
        Ok(verdicts)
    }

    /// What the rules find wrong with `template`, which `document` is what it says.
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

/// A rule without anything to apply to is a finding too: what it promised is there no more.
fn findings(verdict: &Verdict, template: &Path) -> Vec<Finding> {
    let finding = |rule: &str, message: String| Finding {
        line: None,
        rule: rule.to_owned(),
        message,
        template: template.to_path_buf(),
    };
    let refused = verdict.refused.iter().flat_map(|refused| {
        let messages = refused.messages().into_iter();
        messages.map(|message| finding(refused.rule(), format!("broken: {message}")))
    });
    let missing = verdict.not_applicable.iter().map(|rule| {
        finding(
            rule,
            "The template has nothing that this rule is about.".to_owned(),
        )
    });
    refused.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(refused: &Value, not_applicable: &[&str]) -> Verdict {
        let verdict = json!({
            "name": "t.json", "status": "FAIL", "metadata": {}, "compliant": [],
            "not_compliant": refused, "not_applicable": not_applicable,
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
    fn a_clause_speaks_with_the_words_of_its_rule_and_says_where() {
        let disjunction = json!({"Disjunctions": {"checks": [
            clause("", "/Resources/A"), clause("One role each.", "/Resources/A"), clause("One role each.", "/Resources/A"),
        ]}});
        let rule = json!([{"Rule": {"name": "one_role", "metadata": {}, "checks": [disjunction]}}]);
        assert_eq!(
            lines(&verdict(&rule, &[])),
            ["template.yaml: one_role: broken: One role each. (/Resources/A)"]
        );
    }

    #[test]
    fn a_rule_without_words_speaks_with_its_clause() {
        let rule = json!([{"Rule": {"name": "one", "metadata": {}, "checks": [clause("", "")]}}]);
        assert_eq!(
            lines(&verdict(&rule, &[])),
            ["template.yaml: one: broken: X EQUALS  1"]
        );
    }

    #[test]
    fn a_promise_that_nothing_is_left_of_is_a_finding() {
        assert_eq!(
            lines(&verdict(&json!([]), &["kept"])),
            ["template.yaml: kept: The template has nothing that this rule is about."]
        );
    }

    #[tokio::test]
    async fn rules_that_cannot_be_read_are_an_error() {
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
