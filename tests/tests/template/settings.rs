//! `docs/settings.md` and the Terraform module are generated from the template. In the tables of the document, only the meanings
//! are written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use onewrite_console::sentence::grouped;
use onewrite_tests::template::{Template, repository, scalar};
use serde_json::Value;

use crate::template;

const DOCUMENT: &str = "docs/settings.md";
const START: &str = "\n## Template parameters\n";
const END: &str = "\n## Function variables\n";
const HEAD: &str = "| parameter | default | values | meaning |\n| --- | --- | --- | --- |\n";

/// The values of a parameter without a rule.
const ANY_TEXT: &str = "any text";

/// Writes generated files instead of comparing them.
const REWRITE: &str = "ONEWRITE_WRITE_DOCS";

/// Compares a stored file with what is generated, or writes it if [`REWRITE`] is set.
pub(crate) fn assert_is_generated(file: &str, generated: &str) {
    let path = repository(file);
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == generated,
        "{file} differs from what is generated. Run this test with {REWRITE}=1 and read the diff"
    );
}

/// The groups of parameters that a guided deployment and the console show: label and names.
pub(crate) fn groups(template: &Template) -> Vec<(&str, Vec<&str>)> {
    let groups = template.at("/Metadata/AWS::CloudFormation::Interface/ParameterGroups");
    let each = groups.as_array().unwrap().iter().map(|group| {
        let names = group["Parameters"].as_array().unwrap().iter();
        let names = names.map(|name| name.as_str().unwrap()).collect();
        (group["Label"]["default"].as_str().unwrap(), names)
    });
    each.collect()
}

/// A number with thousands separators.
fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// The values that a parameter allows.
fn values(parameter: &Value) -> String {
    let is_number = parameter["Type"] == "Number";
    if let Some(allowed) = parameter["AllowedValues"].as_array() {
        let named = allowed.iter().map(|value| match scalar(value).unwrap() {
            number if is_number => number,
            text if text.is_empty() => "empty".to_owned(),
            text => format!("`{text}`"),
        });
        return named.collect::<Vec<_>>().join(", ");
    }
    let bound = |name: &str| parameter[name].as_i64().map(signed);
    let bounds = bound("MinValue").zip(bound("MaxValue"));
    let constraint = parameter["ConstraintDescription"].as_str();
    let parts = [
        bounds.map(|(min, max)| format!("{min} to {max}")),
        constraint.map(|text| text.strip_prefix("must be ").unwrap_or(text).to_owned()),
        bound("MaxLength").map(|max| format!("up to {max} characters")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        ANY_TEXT.to_owned()
    } else {
        parts.join("; ")
    }
}

#[test]
fn the_values_of_an_arn_are_described() {
    let template = template();
    let arns = template
        .parameters()
        .filter(|(name, _)| name.contains("Arn"));
    let arns: Vec<_> = arns.collect();
    assert!(arns.len() > 5);
    for (name, parameter) in arns {
        assert_ne!(values(parameter), ANY_TEXT, "{name}");
    }
}

/// The last cell of each row of the tables, by parameter.
fn meanings(tables: &str) -> BTreeMap<&str, &str> {
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `"));
    let each = rows.filter_map(|row| {
        let (name, _) = row.split_once('`')?;
        let (_, meaning) = row.strip_suffix(" |")?.rsplit_once(" | ")?;
        Some((name, meaning))
    });
    each.collect()
}

/// The text between the heading of a group and its table.
fn introduction<'a>(tables: &'a str, heading: &str) -> &'a str {
    let (_, section) = tables.split_once(heading).unwrap_or_default();
    let text = section.split("\n|").next().unwrap_or_default();
    text.split("\n### ").next().unwrap_or_default().trim()
}

/// The document with the tables of this template. A parameter without a meaning gets its description.
fn generate(template: &Template, document: &str) -> String {
    let (start, rest) = document.split_once(START).unwrap();
    let (tables, end) = rest.split_once(END).unwrap();
    let meanings = meanings(tables);
    let mut text = start.to_owned() + START;
    text += tables.split("### ").next().unwrap_or_default();
    for (label, names) in groups(template) {
        let heading = format!("### {label}\n");
        text += &heading;
        text.push('\n');
        let introduction = introduction(tables, &heading);
        if !introduction.is_empty() {
            let _ = write!(text, "{introduction}\n\n");
        }
        text += HEAD;
        for name in names {
            let parameter = template.at(&format!("/Parameters/{name}"));
            let default = match scalar(&parameter["Default"]).unwrap() {
                default if default.is_empty() => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let description = parameter["Description"].as_str().unwrap();
            let meaning = meanings.get(name).copied().unwrap_or(description);
            let values = values(parameter);
            let _ = writeln!(text, "| `{name}` | {default} | {values} | {meaning} |");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text + END + end
}

#[test]
fn the_tables_of_parameters_are_generated_from_the_template() {
    let document = std::fs::read_to_string(repository(DOCUMENT)).unwrap();
    assert_is_generated(DOCUMENT, &generate(&template(), &document));
}

#[test]
fn generated_tables_keep_meanings_and_follow_the_template() {
    let template = Template::parse(
        r#"
Metadata:
  AWS::CloudFormation::Interface:
    ParameterGroups:
      - Label: {default: New group}
        Parameters: [Kept, Added]
Parameters:
  Kept: {Type: Number, Default: 5, MinValue: 1, MaxValue: 10000, Description: not this}
  Added: {Type: String, Default: "", AllowedValues: ["", all], Description: from the template}
"#,
    )
    .unwrap();
    let document = "# Settings\n\n## Template parameters\n\nText.\n\n### Old group\n\n| parameter | default | meaning |\n\
        | --- | --- | --- |\n| `Kept` | `4` | by hand |\n| `Gone` | none | removed |\n\n## Function variables\n\nEnd.\n";
    let expected = format!(
        "# Settings\n\n## Template parameters\n\nText.\n\n### New group\n\n{HEAD}\
         | `Kept` | `5` | 1 to 10,000 | by hand |\n\
         | `Added` | none | empty, `all` | from the template |\n\n## Function variables\n\nEnd.\n"
    );
    let generated = generate(&template, document);
    assert_eq!(generated, expected);
    assert_eq!(generate(&template, &generated), expected);
}
