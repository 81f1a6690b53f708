//! Compares the crates of an SBOM with a program: with the list that cargo-auditable has written into it, and with the paths of
//! source files that rustc has.

use std::collections::BTreeSet;

use auditable_serde::{DependencyKind, VersionInfo};

use crate::crates::Linked;
use crate::error::{PackageError, Result};

/// The largest list that is read, in bytes.
const LIMIT: usize = 8 * 1024 * 1024;

/// What precedes the name of a crate in the path of its source. The name of the registry is between them.
const SOURCES: &[u8] = b"registry/src/";

/// Checks that a program lists every crate that is linked into it, as a dependency at run time, and contains code of no other crate.
///
/// It may list more: cargo-auditable resolves the features of the whole workspace.
///
/// # Errors
/// [`PackageError::NotAuditable`] with the first crate that is missing, or [`PackageError::Unexpected`] with one that is not linked.
pub fn check(name: &str, program: &[u8], linked: &Linked) -> Result<()> {
    let failed = |reason: String| PackageError::NotAuditable {
        program: name.to_owned(),
        reason,
    };
    let info = auditable_info::audit_info_from_slice(program, LIMIT)
        .map_err(|error| failed(error.to_string()))?;
    if let Some(missing) = missing(&info, linked) {
        return Err(failed(format!("{missing} is missing")));
    }
    match unlinked(program, &[linked]).first() {
        None => Ok(()),
        Some(one) => Err(PackageError::Unexpected(format!(
            "{name} contains code of {one}, which is not in its SBOM"
        ))),
    }
}

/// Returns the crates of a registry, as `name-version`, whose source files a program names in messages of panics, and that are not
/// linked. Most crates have such messages.
#[must_use]
pub fn unlinked(program: &[u8], linked: &[&Linked]) -> BTreeSet<String> {
    let named = |one: &&Linked| -> Vec<String> {
        let ids = one.crates.keys();
        ids.map(|id| format!("{}-{}", id.name, id.version))
            .collect()
    };
    let linked: BTreeSet<String> = linked.iter().flat_map(named).collect();
    let mut mentioned = mentioned(program);
    mentioned.retain(|one| !linked.contains(one));
    mentioned
}

fn mentioned(program: &[u8]) -> BTreeSet<String> {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte);
    let is_crate = |name: &[u8]| {
        let mut pairs = name.windows(2);
        name.iter().all(is_allowed) && pairs.any(|pair| pair[0] == b'-' && pair[1].is_ascii_digit())
    };
    let places = memchr::memmem::find_iter(program, SOURCES);
    let names = places.filter_map(|at| {
        let mut parts = program[at + SOURCES.len()..].splitn(3, |byte| *byte == b'/');
        let (registry, name) = (parts.next()?, parts.next()?);
        let is_path = parts.next().is_some() && registry.iter().all(is_allowed);
        (is_path && is_crate(name)).then(|| String::from_utf8_lossy(name).into_owned())
    });
    names.collect()
}

fn missing(info: &VersionInfo, linked: &Linked) -> Option<String> {
    let is_listed = |name: &str, version: &str| {
        info.packages.iter().any(|one| {
            one.name == name
                && one.version.to_string() == version
                && matches!(one.kind, DependencyKind::Runtime)
        })
    };
    let mut ids = linked.crates.keys();
    let missing = ids.find(|id| !is_listed(&id.name, &id.version))?;
    Some(format!("{} {}", missing.name, missing.version))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::crates::{Crate, CrateId};

    fn linked(names: &[&str]) -> Linked {
        let one = |name: &&str| {
            let id = CrateId {
                name: (*name).into(),
                version: "1.0.0".into(),
            };
            let one = Crate {
                id: id.clone(),
                licence: None,
                description: None,
                repository: None,
                directory: PathBuf::new(),
                is_registered: true,
                checksum: None,
            };
            (id, one)
        };
        let crates: BTreeMap<_, _> = names.iter().map(one).collect();
        Linked {
            root: one(&names[0]).0,
            crates,
            uses: BTreeMap::new(),
        }
    }

    #[test]
    fn names_a_linked_crate_that_the_program_does_not_list() {
        let text = r#"{"packages":[
            {"name":"a","version":"1.0.0","source":"local","root":true,"dependencies":[1]},
            {"name":"b","version":"1.0.0","source":"registry"},
            {"name":"c","version":"1.0.0","source":"registry","kind":"build"}]}"#;
        let info: VersionInfo = serde_json::from_str(text).unwrap();
        assert_eq!(missing(&info, &linked(&["a", "b"])), None);
        assert_eq!(missing(&info, &linked(&["a"])), None);
        assert_eq!(missing(&info, &linked(&["a", "c"])), Some("c 1.0.0".into()));
        assert_eq!(missing(&info, &linked(&["a", "d"])), Some("d 1.0.0".into()));
    }

    #[test]
    fn names_crates_in_a_program_that_are_not_linked() {
        let program = b"\0/cargo/registry/src/index-1/a-1.0.0/src/lib.rs\0\xff/registry/src/index-1/b-c-1.0.0/x\
            registry/src/registry/src/index-1/d 1/x";
        let all = unlinked(program, &[]);
        assert_eq!(all, BTreeSet::from(["a-1.0.0".into(), "b-c-1.0.0".into()]));
        let linked = linked(&["a"]);
        assert_eq!(
            unlinked(program, &[&linked]),
            BTreeSet::from(["b-c-1.0.0".into()])
        );
    }

    #[test]
    fn refuses_programs_without_a_list() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = check("test", &own, &linked(&["a"])).unwrap_err();
        assert!(
            matches!(error, PackageError::NotAuditable { .. }),
            "{error}"
        );
    }
}
