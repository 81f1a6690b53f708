//! The software bill of materials of a program, in the format CycloneDX 1.5.

use onewrite_local::hex::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::crates::{Crate, CrateId, Linked};

/// What an SBOM describes.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of the program.
    pub name: &'a str,
    /// The version of the package.
    pub version: &'a str,
    /// The Rust target.
    pub target: &'a str,
    /// The version of the compiler.
    pub rust: &'a str,
    /// The content of the program.
    pub program: &'a [u8],
    /// When the commit was made, as RFC 3339. The time of the build would make every build different.
    pub timestamp: &'a str,
}

/// Returns the SBOM of a program, as JSON.
#[must_use]
pub fn of_program(subject: &Subject<'_>, linked: &Linked) -> Value {
    let components: Vec<Value> = linked
        .crates
        .values()
        .filter(|one| one.id != linked.root)
        .map(component)
        .collect();
    let dependencies: Vec<Value> = linked
        .uses
        .iter()
        .map(|(id, uses)| json!({"ref": reference(id), "dependsOn": uses.iter().map(reference).collect::<Vec<_>>()}))
        .collect();
    let mut described = json!({
        "type": "application",
        "bom-ref": reference(&linked.root),
        "name": subject.name,
        "version": subject.version,
        "purl": format!("pkg:generic/{}@{}", subject.name, subject.version),
        "hashes": [{"alg": "SHA-256", "content": hex(&Sha256::digest(subject.program))}],
        "properties": [
            {"name": "onewrite:rust", "value": subject.rust},
            {"name": "onewrite:target", "value": subject.target},
        ],
    });
    if let Some(root) = linked.crates.get(&linked.root) {
        add_licence(&mut described, root);
    }
    let mut bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": subject.timestamp,
            "tools": {"components": [{"type": "application", "name": "onewrite-package", "version": env!("CARGO_PKG_VERSION")}]},
            "component": described,
        },
        "components": components,
        "dependencies": dependencies,
    });
    bom["serialNumber"] = serial_number(&bom).into();
    bom
}

/// A name that is unique within the document.
fn reference(id: &CrateId) -> String {
    format!("pkg:cargo/{}@{}", id.name, id.version)
}

fn component(one: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(&one.id),
        "name": one.id.name,
        "version": one.id.version,
        "scope": "required",
    });
    if one.is_registered {
        component["purl"] = reference(&one.id).into();
    }
    if let Some(checksum) = &one.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(description) = &one.description {
        component["description"] = description.trim().into();
    }
    if let Some(repository) = &one.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    add_licence(&mut component, one);
    component
}

fn add_licence(component: &mut Value, one: &Crate) {
    if let Some(licence) = &one.licence {
        component["licenses"] = json!([{"expression": licence}]);
    }
}

/// A UUID of the document's content, in the version for such uses (RFC 9562, version 8). A random one would make every build
/// different.
fn serial_number(bom: &Value) -> String {
    let mut bytes: Vec<u8> = Sha256::digest(bom.to_string())
        .iter()
        .copied()
        .take(16)
        .collect();
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let groups = groups.map(|(from, to)| &digits[from..to]);
    format!("urn:uuid:{}", groups.join("-"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    use super::*;

    fn one(name: &str, checksum: Option<&str>) -> Crate {
        Crate {
            id: id(name),
            licence: Some("MIT OR Apache-2.0".into()),
            description: Some("Text.\n".into()),
            repository: Some("https://example.com/a".into()),
            directory: PathBuf::new(),
            is_registered: checksum.is_some(),
            checksum: checksum.map(ToOwned::to_owned),
        }
    }

    fn id(name: &str) -> CrateId {
        CrateId {
            name: name.into(),
            version: "1.0.0".into(),
        }
    }

    fn linked() -> Linked {
        let crates = [
            one("ingest", None),
            one("core", None),
            one("dep", Some("ab12")),
        ];
        Linked {
            root: id("ingest"),
            crates: crates
                .into_iter()
                .map(|one| (one.id.clone(), one))
                .collect(),
            uses: BTreeMap::from([
                (id("ingest"), BTreeSet::from([id("core"), id("dep")])),
                (id("core"), BTreeSet::from([id("dep")])),
                (id("dep"), BTreeSet::new()),
            ]),
        }
    }

    fn bom(program: &[u8]) -> Value {
        let subject = Subject {
            name: "ingest",
            version: "1.2.3",
            target: "aarch64-unknown-linux-gnu",
            rust: "rustc 1.95.0",
            program,
            timestamp: "2026-01-02T03:04:05Z",
        };
        of_program(&subject, &linked())
    }

    /// Members of an object, which must all be among those of the schema, and include those that it requires.
    fn check_members(object: &Value, required: &[&str], optional: &[&str]) {
        let members = object.as_object().unwrap();
        for name in required {
            assert!(members.contains_key(*name), "{name}: {object}");
        }
        for name in members.keys() {
            let name = name.as_str();
            assert!(
                required.contains(&name) || optional.contains(&name),
                "{name}"
            );
        }
    }

    /// The members of the elements of a list, which may be missing.
    fn check_all(list: &Value, required: &[&str]) {
        for element in list.as_array().into_iter().flatten() {
            check_members(element, required, &[]);
        }
    }

    /// The requirements of the JSON Schema of CycloneDX 1.5, which allows no other members.
    #[test]
    fn satisfies_the_schema_of_cyclonedx() {
        let bom = bom(b"program");
        let lists = ["metadata", "components", "dependencies"];
        let optional = [&["$schema", "serialNumber", "version"][..], &lists].concat();
        check_members(&bom, &["bomFormat", "specVersion"], &optional);
        assert_eq!(bom["bomFormat"], "CycloneDX");
        assert_eq!(bom["specVersion"], "1.5");
        assert!(bom["version"].as_u64().is_some_and(|version| version >= 1));
        check_members(&bom["metadata"], &[], &["timestamp", "tools", "component"]);
        let tools = bom["metadata"]["tools"]["components"].as_array().unwrap();
        let components = bom["components"].as_array().unwrap().iter().chain(tools);
        let optional =
            "bom-ref version scope purl hashes description externalReferences licenses properties";
        let optional: Vec<&str> = optional.split(' ').collect();
        let mut references = BTreeSet::new();
        for component in components.chain([&bom["metadata"]["component"]]) {
            check_members(component, &["type", "name"], &optional);
            assert!(["application", "library"].contains(&component["type"].as_str().unwrap()));
            check_all(&component["hashes"], &["alg", "content"]);
            check_all(&component["externalReferences"], &["type", "url"]);
            check_all(&component["licenses"], &["expression"]);
            check_all(&component["properties"], &["name", "value"]);
            if let Some(reference) = component["bom-ref"].as_str() {
                assert!(references.insert(reference), "{reference} is not unique");
            }
        }
        for dependency in bom["dependencies"].as_array().unwrap() {
            check_members(dependency, &["ref"], &["dependsOn"]);
            let uses = dependency["dependsOn"].as_array().unwrap().iter();
            for reference in uses.chain([&dependency["ref"]]) {
                assert!(
                    references.contains(reference.as_str().unwrap()),
                    "{reference}"
                );
            }
        }
    }

    /// RFC 9562.
    #[test]
    fn serial_number_is_a_uuid() {
        let bom = bom(b"program");
        let serial = bom["serialNumber"].as_str().unwrap();
        let uuid = serial.strip_prefix("urn:uuid:").unwrap();
        let groups: Vec<&str> = uuid.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        let has_variant = groups[3].starts_with(['8', '9', 'a', 'b']);
        assert!(groups[2].starts_with('8') && has_variant, "{serial}");
    }

    #[test]
    fn lists_every_linked_crate_with_its_checksum() {
        let bom = bom(b"program");
        let components = bom["components"].as_array().unwrap();
        let names: Vec<&str> = components
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["core", "dep"]);
        assert_eq!(components[1]["hashes"][0]["content"], "ab12");
        assert_eq!(components[1]["purl"], "pkg:cargo/dep@1.0.0");
        assert_eq!(components[0].get("purl"), None, "not from a registry");
        let uses = json!({"ref": "pkg:cargo/ingest@1.0.0", "dependsOn": ["pkg:cargo/core@1.0.0", "pkg:cargo/dep@1.0.0"]});
        assert!(
            bom["dependencies"].as_array().unwrap().contains(&uses),
            "{bom}"
        );
    }

    #[test]
    fn describes_one_program_and_nothing_else() {
        assert_eq!(bom(b"program"), bom(b"program"));
        let other = bom(b"other");
        assert_ne!(bom(b"program")["serialNumber"], other["serialNumber"]);
        let hash = &other["metadata"]["component"]["hashes"][0]["content"];
        assert_eq!(*hash, hex(&Sha256::digest(b"other")));
    }
}
