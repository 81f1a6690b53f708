//! The Terraform module in `infra/terraform` and the CDK example take exactly the parameters of the template.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use onewrite_local::binaries::Architecture;
use onewrite_package::template::translate;
use onewrite_tests::template::{Template, repository};

use crate::settings::{assert_is_generated, groups};
use crate::template;

const VARIABLES: &str = "infra/terraform/variables.tf";
const MODULE: &str = "infra/terraform/main.tf";
const DEPLOYING: &str = "docs/deploying.md";

/// The parameters that only the template of a package has: where the programs are.
const OF_THE_PACKAGE: [&str; 2] = ["CodeBucket", "CodePrefix"];

/// `KmsKeyArn` as `kms_key_arn`.
fn variable(parameter: &str) -> String {
    let mut name = String::new();
    for letter in parameter.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// A text of HCL.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace("${", "$${").replace("%{", "%%{"))
}

/// The variables of the module, and the parameters that get their values.
fn generate(template: &Template) -> String {
    let names: Vec<&str> = groups(template)
        .into_iter()
        .flat_map(|(_, names)| names)
        .collect();
    let mut text = "# Generated from the parameters of template.yaml (.github/CONTRIBUTING.md, \"Add a setting\").\n".to_owned();
    for name in &names {
        let parameter = template.at(&format!("/Parameters/{name}"));
        let kind = match parameter["Type"].as_str().unwrap() {
            "Number" => "number",
            _ => "string",
        };
        let description = quote(parameter["Description"].as_str().unwrap());
        let name = variable(name);
        let _ = write!(
            text,
            "\nvariable \"{name}\" {{\n  description = {description}\n  type        = {kind}\n  default     = null\n}}\n"
        );
    }
    let width = names.iter().map(|name| name.len()).max().unwrap();
    text += "\nlocals {\n  template_parameters = {\n";
    for name in &names {
        let _ = writeln!(text, "    {name:width$} = var.{}", variable(name));
    }
    text + "  }\n}\n"
}

#[test]
fn the_module_has_a_variable_for_each_parameter() {
    assert_is_generated(VARIABLES, &generate(&template()));
}

#[test]
fn the_module_passes_every_variable_and_the_location_of_the_programs() {
    let module = std::fs::read_to_string(repository(MODULE)).unwrap();
    assert!(
        module.contains("in local.template_parameters : name => tostring(value) if value != null")
    );
    for name in OF_THE_PACKAGE {
        assert!(module.contains(&format!("{name} = ")), "{name}");
    }
    let all = module + &generate(&template());
    let used: BTreeSet<&str> = names_after(&all, "var.").collect();
    let declared: BTreeSet<&str> = all
        .split("\nvariable \"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(used, declared);
}

/// The names that follow each occurrence of a prefix.
fn names_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let is_end = |c: char| !(c.is_alphanumeric() || c == '_');
    text.split(prefix)
        .skip(1)
        .map(move |rest| rest.split(is_end).next().unwrap())
}

/// The code blocks of a language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let first_line = format!("{language}\n");
    let parts = document.split("\n```");
    parts
        .filter_map(|part| part.strip_prefix(first_line.as_str()))
        .collect()
}

#[test]
fn the_template_of_a_package_has_the_parameters_that_the_module_passes() {
    let source = std::fs::read_to_string(repository("template.yaml")).unwrap();
    let package = translate(&source, "1.2.3", &Architecture::ALL).unwrap();
    let package = Template::parse(&package).unwrap();
    let own = template();
    let mut passed: BTreeSet<&str> = own.parameters().map(|(name, _)| name).collect();
    passed.extend(OF_THE_PACKAGE);
    let parameters: BTreeSet<&str> = package.parameters().map(|(name, _)| name).collect();
    assert_eq!(parameters, passed);
    // The module and the document upload the programs to these keys.
    let key = package.property("IngestFunction", "Code/S3Key/Fn::Sub");
    assert_eq!(*key, "${CodePrefix}1.2.3/ingest-${Architecture}.zip");
    let module = std::fs::read_to_string(repository(MODULE)).unwrap();
    assert!(module.contains("name => \"${local.prefix}${var.package_version}/${name}\""));
    assert!(module.contains("CodePrefix = local.prefix"));
    let default = package.default("CodePrefix").unwrap();
    assert!(
        module.contains(&format!("default     = \"{default}\"")),
        "{default}"
    );
}

#[test]
fn the_examples_set_parameters_of_the_template() {
    let (template, document) = (
        template(),
        std::fs::read_to_string(repository(DEPLOYING)).unwrap(),
    );
    let parameters: BTreeSet<&str> = template.parameters().map(|(name, _)| name).collect();
    let [cdk] = blocks(&document, "ts")[..] else {
        panic!("one example of the CDK");
    };
    assert!(cdk.contains("new CfnInclude("), "{cdk}");
    let (_, set) = cdk.split_once("parameters: {").unwrap();
    let names = set
        .split('}')
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.trim().split_once(':'));
    let names: BTreeSet<&str> = names.map(|(name, _)| name).collect();
    let (package, own): (BTreeSet<&str>, BTreeSet<&str>) = names
        .into_iter()
        .partition(|name| OF_THE_PACKAGE.contains(name));
    assert_eq!(package, OF_THE_PACKAGE.into());
    assert!(!own.is_empty() && own.is_subset(&parameters), "{own:?}");

    let [module] = blocks(&document, "hcl")[..] else {
        panic!("one example of the module");
    };
    let all = std::fs::read_to_string(repository(MODULE)).unwrap() + &generate(&template);
    for (name, _) in module.lines().filter_map(|line| line.split_once(" = ")) {
        let name = name.trim();
        let is_variable = all.contains(&format!("\nvariable \"{name}\" {{\n"));
        assert!(is_variable || name == "source", "{name}");
    }
}
