//! `template.yaml` as [`onewrite_local::template`] reads it, and how to find things in it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

/// The template.
#[derive(Debug)]
pub struct Template(Value);

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

impl Template {
    /// Reads it.
    ///
    /// # Errors
    /// Where it is not there or no YAML.
    pub fn read() -> Result<Self> {
        let template = onewrite_local::template::read(&repository("template.yaml"))?;
        Ok(Self(template))
    }

    /// What a JSON pointer finds; null where nothing is there.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The parameters, in alphabetical order, each with its settings.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Value)> {
        entries(self.at("/Parameters"))
    }

    /// The resources of one type, each with all that is said of it.
    pub fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        entries(self.at("/Resources")).filter(move |(_, resource)| resource["Type"] == kind)
    }

    /// A property of a resource; null where it is not set.
    #[must_use]
    pub fn property(&self, resource: &str, name: &str) -> &Value {
        self.at(&format!("/Resources/{resource}/Properties/{name}"))
    }

    /// The default of a parameter, as text; none where there is no such parameter or it has no default.
    #[must_use]
    pub fn default(&self, parameter: &str) -> Option<String> {
        scalar(self.at(&format!("/Parameters/{parameter}/Default")))
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

/// A text, number or truth value as CloudFormation hands it on: as text.
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
