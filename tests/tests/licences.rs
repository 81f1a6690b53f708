//! Every dependency of the workspace has a licence that `.cargo/deny.toml` allows.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use onewrite_tests::{cargo::cargo, template::repository};
use serde_json::Value;

/// The platforms of the deployed functions.
const PLATFORMS: [&str; 2] = ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"];

/// The SPDX identifiers that are allowed.
fn allowed_licences() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository(".cargo/deny.toml")).unwrap();
    let settings: toml::Table = text.parse().unwrap();
    let allowed = settings["licenses"]["allow"].as_array().unwrap();
    let name = |name: &toml::Value| name.as_str().unwrap().to_owned();
    allowed.iter().map(name).collect()
}

/// The packages of the workspace and all their dependencies.
fn packages() -> Vec<Value> {
    let filters = PLATFORMS.map(|platform| format!("--filter-platform={platform}"));
    let output = cargo()
        .args(["metadata", "--locked", "--format-version=1"])
        .args(filters)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// A licence expression: identifiers with `AND`, `OR`, `WITH` and parentheses. Old manifests use `/` for `OR`.
struct Expression<'a> {
    tokens: Vec<&'a str>,
    allowed: &'a BTreeSet<String>,
}

impl<'a> Expression<'a> {
    /// Whether the allowed licences satisfy the expression.
    fn is_allowed(text: &'a str, allowed: &'a BTreeSet<String>) -> bool {
        let mut tokens = Vec::new();
        for word in text.split_whitespace() {
            let mut rest = word;
            while let Some(at) = rest.find(['(', ')', '/']) {
                tokens.extend([&rest[..at], &rest[at..=at]]);
                rest = &rest[at + 1..];
            }
            tokens.push(rest);
        }
        tokens.retain(|token| !token.is_empty());
        tokens.reverse();
        let mut expression = Self { tokens, allowed };
        let is_allowed = expression.alternatives();
        is_allowed && expression.tokens.is_empty()
    }

    fn next_is(&mut self, operators: &[&str]) -> bool {
        let is_next = self
            .tokens
            .last()
            .is_some_and(|token| operators.contains(token));
        if is_next {
            self.tokens.pop();
        }
        is_next
    }

    fn alternatives(&mut self) -> bool {
        let mut is_allowed = self.conjunction();
        while self.next_is(&["OR", "/"]) {
            is_allowed |= self.conjunction();
        }
        is_allowed
    }

    fn conjunction(&mut self) -> bool {
        let mut is_allowed = self.licence();
        while self.next_is(&["AND"]) {
            is_allowed &= self.licence();
        }
        is_allowed
    }

    fn licence(&mut self) -> bool {
        if self.next_is(&["("]) {
            let is_allowed = self.alternatives();
            return self.next_is(&[")"]) && is_allowed;
        }
        let Some(mut name) = self.tokens.pop().map(ToOwned::to_owned) else {
            return false;
        };
        if self.next_is(&["WITH"]) {
            name = format!("{name} WITH {}", self.tokens.pop().unwrap_or_default());
        }
        self.allowed.contains(&name)
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed_licences();
    let packages = packages();
    assert!(packages.len() > 50, "{}", packages.len());
    let is_denied = |package: &&Value| {
        let licence = package["license"].as_str().unwrap_or_default();
        !Expression::is_allowed(licence, &allowed)
    };
    let denied: Vec<String> = packages
        .iter()
        .filter(is_denied)
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(denied.is_empty(), "{denied:#?}");
}

#[test]
fn every_allowed_licence_is_needed() {
    let allowed = allowed_licences();
    let packages = packages();
    for licence in &allowed {
        let mut others = allowed.clone();
        others.remove(licence);
        let is_needed = |package: &Value| {
            let expression = package["license"].as_str().unwrap_or_default();
            !Expression::is_allowed(expression, &others)
        };
        assert!(packages.iter().any(is_needed), "{licence} is not needed");
    }
}

#[test]
fn licence_expressions_are_evaluated() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for (expression, is_allowed) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("ISC AND MIT", true),
        ("(GPL-3.0 OR ISC) AND MIT", true),
        ("(GPL-3.0 AND ISC) OR GPL-2.0", false),
        ("MIT WITH LLVM-exception", false),
        ("(MIT", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(
            Expression::is_allowed(expression, &allowed),
            is_allowed,
            "{expression}"
        );
    }
}
