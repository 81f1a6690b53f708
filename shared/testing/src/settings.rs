//! The settings of a function, which are environment variables.

use std::process::Command;

/// Looks up settings in a list of names and values, where a function looks them up in its environment.
pub fn lookup<'a>(settings: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name: &str| {
        let setting = settings.iter().find(|(known, _)| *known == name);
        setting.map(|(_, text)| (*text).to_owned())
    }
}

/// Checks that `program` does not start with these settings, and that all its output is one line that names `variable`.
///
/// # Panics
/// The program cannot be run, succeeds, or prints something else.
pub fn assert_rejected(program: &str, settings: &[(&str, &str)], variable: &str) {
    let mut command = Command::new(program);
    let output = command.env_clear().envs(settings.iter().copied()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let lines = [output.stdout, output.stderr].concat();
    let lines = String::from_utf8_lossy(&lines);
    assert!(!output.status.success(), "{lines}");
    assert_eq!(lines.trim_end().lines().count(), 1, "{lines}");
    let expected = format!("environment variable {variable} is ");
    assert!(lines.contains(&expected), "{lines}");
}
