//! `onewrite doctor`: checks the configuration of a deployed stack.

use std::process::ExitCode;

use crate::{
    context::Context,
    doctor::{self, StackSnapshot},
    terminal::{Output, json, print},
};

/// Runs the checks and prints the findings.
pub async fn run(context: &Context) -> ExitCode {
    let findings = doctor::examine(&StackSnapshot::read(&context.stack).await);
    print(&match context.output {
        Output::Table => doctor::text(&findings),
        Output::Json => json(&findings),
    });
    ExitCode::from(doctor::exit_code(&findings))
}
