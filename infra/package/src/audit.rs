//! The list of crates that cargo-auditable has written into a program.

use auditable_serde::{DependencyKind, VersionInfo};

use crate::crates::Linked;
use crate::error::{PackageError, Result};

/// The largest list that is read, in bytes.
const LIMIT: usize = 8 * 1024 * 1024;

/// Checks that a program lists every crate that is linked into it, as a dependency at run time.
///
/// It may list more: cargo-auditable resolves the features of the whole workspace.
///
/// # Errors
/// [`PackageError::NotAuditable`] with the first crate that is missing.
pub fn check(name: &str, program: &[u8], linked: &Linked) -> Result<()> {
    let failed = |reason: String| PackageError::NotAuditable {
        program: name.to_owned(),
        reason,
    };
    let info = auditable_info::audit_info_from_slice(program, LIMIT)
        .map_err(|error| failed(error.to_string()))?;
    match missing(&info, linked) {
        None => Ok(()),
        Some(missing) => Err(failed(format!("{missing} is missing"))),
    }
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
    fn refuses_programs_without_a_list() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = check("test", &own, &linked(&["a"])).unwrap_err();
        assert!(
            matches!(error, PackageError::NotAuditable { .. }),
            "{error}"
        );
    }
}
