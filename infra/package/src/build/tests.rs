use super::*;

fn rust(sysroot: &str) -> Toolchain {
    let text = "rustc 1.95.0 (59807616e 2026-04-14)\nhost: x86_64-unknown-linux-gnu\ncommit-hash: 59807616e\n";
    Toolchain::parse(text, Path::new(sysroot)).unwrap()
}

#[test]
fn programs_contain_no_path_of_this_machine() {
    let recipe = recipe(
        Path::new("/home/me/one write"),
        Path::new("/home/me/.cargo"),
        &rust("/opt/rust"),
        7,
    );
    let recipe = recipe.unwrap();
    let list = recipe.config[0].strip_prefix("build.rustflags=").unwrap();
    let flags: Vec<String> = serde_json::from_str(list).unwrap();
    assert_eq!(
        flags,
        [
            "--remap-path-prefix=/home/me/one write=/onewrite",
            "--remap-path-prefix=/home/me/one write/target/package/build/target=/target",
            "--remap-path-prefix=/home/me/.cargo=/cargo",
            "--remap-path-prefix=/opt/rust=/rust",
            "--remap-path-prefix=/opt/rust/lib/rustlib/src/rust=/rustc/59807616e",
        ]
    );
    let toml: toml::Table = recipe.config[0].parse().unwrap();
    assert_eq!(
        toml["build"]["rustflags"].as_array().unwrap().len(),
        flags.len()
    );
    let value = |name: &str| {
        let found = recipe.variables.iter().find(|(other, _)| other == name);
        found.and_then(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(value("SOURCE_DATE_EPOCH"), "7");
    assert_eq!(value("CARGO_INCREMENTAL"), "0");
}

#[test]
fn ignores_variables_that_change_the_code() {
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_PROFILE_RELEASE_LTO",
        "CARGO_BUILD_TARGET",
        "CFLAGS_x86_64",
    ] {
        assert!(is_removed(name.as_ref()), "{name}");
    }
    for name in [
        "CARGO_HOME",
        "PATH",
        "RUSTUP_TOOLCHAIN",
        "CARGO_NET_OFFLINE",
        "HOME",
    ] {
        assert!(!is_removed(name.as_ref()), "{name}");
    }
}

/// Writes a workspace with a program and a library.
fn write_workspace(root: &Path) {
    for (name, text) in [
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"program\"]\n",
        ),
        (
            "program/Cargo.toml",
            "[package]\nname = \"program\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[dependencies]\nlibrary = { path = \"../library\" }\n",
        ),
        (
            "program/src/main.rs",
            "fn main() {\n    assert_eq!(library::parse(\"1\"), 1);\n}\n",
        ),
        (
            "library/Cargo.toml",
            "[package]\nname = \"library\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
        ),
        (
            "library/src/lib.rs",
            "pub fn parse(text: &str) -> u32 {\n    text.parse().unwrap()\n}\n",
        ),
    ] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Builds the program of [`write_workspace`] with debug information, which contains all paths, and returns its bytes.
fn build_program(
    root: &Path,
    config: &[String],
    variables: &[(OsString, Option<OsString>)],
) -> Vec<u8> {
    let mut cargo = process::command("cargo");
    cargo
        .args(["build", "--quiet", "--offline", "--package=program"])
        .current_dir(root);
    cargo.args(config.iter().flat_map(|value| ["--config", value.as_str()]));
    for (name, value) in variables {
        match value {
            Some(value) => cargo.env(name, value),
            None => cargo.env_remove(name),
        };
    }
    assert!(cargo.status().unwrap().success());
    std::fs::read(root.join("target/package/build/target/debug/program")).unwrap()
}

fn contains(bytes: &[u8], text: &Path) -> bool {
    let text = text.as_os_str().as_encoded_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}

/// `.ci/nightly` does the same with the whole package.
#[tokio::test]
async fn two_directories_give_the_same_program() {
    let rust = Toolchain::find(Workspace::here().root()).await.unwrap();
    let home = cargo_home().unwrap();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let roots = [
        directories[0].path().join("a"),
        directories[1].path().join("longer/name"),
    ];
    let programs = roots.clone().map(|root| {
        write_workspace(&root);
        let recipe = recipe(&root, &home, &rust, 7).unwrap();
        let plain = build_program(&root, &[], &recipe.variables);
        assert!(
            contains(&plain, &root),
            "without flags, it would contain its path"
        );
        build_program(&root, &recipe.config, &recipe.variables)
    });
    for root in &roots {
        assert!(!contains(&programs[0], root) && !contains(&programs[1], root));
    }
    assert!(programs[0] == programs[1], "the programs differ");
}

#[tokio::test]
async fn refuses_to_package_changes_that_are_not_committed() {
    let root = Workspace::here().root().to_path_buf();
    let version = workspace_version(&root).unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let directory = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = process::command("git");
        command.args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "-c",
            "commit.gpgsign=false",
        ]);
        command.args(arguments).current_dir(directory.path());
        command
            .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
            .env_remove("GIT_DIR");
        assert!(command.output().unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "--quiet"]);
    std::fs::write(directory.path().join("file"), "one").unwrap();
    git(&["add", "file"]);
    git(&["commit", "--quiet", "-m", "One"]);
    let read = || Commit::read(directory.path());
    let commit = read().await.unwrap();
    assert_eq!(
        commit,
        Commit {
            epoch: 1_767_323_045,
            is_dirty: false
        }
    );
    std::fs::write(directory.path().join("file"), "two").unwrap();
    assert!(read().await.unwrap().is_dirty);
}
