//! A CloudFormation template as it is written, its intrinsic functions in their long form (`!Ref X` is `{"Ref": "X"}`) and
//! its YAML aliases resolved.

use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// Why a template cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// What is in it is no YAML.
    #[error(transparent)]
    Yaml(#[from] serde_yaml_ng::Error),
    /// CloudFormation's objects have texts for keys.
    #[error("a key is no text: {0}")]
    Key(String),
    /// JSON has no infinite numbers.
    #[error(transparent)]
    Scalar(#[from] serde_json::Error),
}

/// The template in a file.
///
/// # Errors
/// Where it is not there or no YAML.
pub fn read(path: &Path) -> Result<Value, Unreadable> {
    parse(&std::fs::read_to_string(path)?)
}

/// The template that a text is, or a part of one.
///
/// # Errors
/// Where it is no YAML.
pub fn parse(text: &str) -> Result<Value, Unreadable> {
    plain(serde_yaml_ng::from_str(text)?)
}

fn plain(yaml: Yaml) -> Result<Value, Unreadable> {
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            let mut argument = plain(tagged.value)?;
            if name == ATTRIBUTE {
                argument = attribute(argument);
            }
            Value::Object(Map::from_iter([(name, argument)]))
        }
        Yaml::Sequence(elements) => elements.into_iter().map(plain).collect::<Result<_, _>>()?,
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let Yaml::String(key) = key else {
                    return Err(Unreadable::Key(format!("{key:?}")));
                };
                object.insert(key, plain(value)?);
            }
            if let Some(names) = object.get_mut(ATTRIBUTE) {
                *names = attribute(names.take());
            }
            Value::Object(object)
        }
        scalar => serde_json::to_value(scalar)?,
    })
}

const ATTRIBUTE: &str = "Fn::GetAtt";

/// The two names may be given in a list; here they are one text, so that there is one way to write it.
fn attribute(names: Value) -> Value {
    let listed = names.as_array().into_iter().flatten().map(Value::as_str);
    match listed.collect::<Option<Vec<&str>>>() {
        Some(listed) if !listed.is_empty() => listed.join(".").into(),
        _ => names,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn intrinsic_functions_are_in_their_long_form() {
        let text =
            "a: !If [C, !Ref X, !GetAtt Y.Arn]\nb: &b {c: !Sub '${X}'}\nd: *b\ne: !Condition C\n";
        let expected = json!({
            "a": {"Fn::If": ["C", {"Ref": "X"}, {"Fn::GetAtt": "Y.Arn"}]},
            "b": {"c": {"Fn::Sub": "${X}"}},
            "d": {"c": {"Fn::Sub": "${X}"}},
            "e": {"Condition": "C"},
        });
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn an_attribute_is_written_in_one_way() {
        for text in [
            "!GetAtt A.Arn",
            "!GetAtt [A, Arn]",
            "Fn::GetAtt: A.Arn",
            "Fn::GetAtt: [A, Arn]",
        ] {
            let expected = json!({"Fn::GetAtt": "A.Arn"});
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        assert!(matches!(parse("a: ["), Err(Unreadable::Yaml(_))));
        assert!(matches!(parse("1: a"), Err(Unreadable::Key(_))));
        let nowhere = read(Path::new("/nowhere/template.yaml"));
        assert!(matches!(nowhere, Err(Unreadable::File(_))));
    }
}
