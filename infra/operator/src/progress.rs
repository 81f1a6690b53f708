//! How far a long command is: a bar on standard error, and nothing where that is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// A bar of `length` steps, or of an unknown number.
#[must_use]
pub fn bar(what: &'static str, length: Option<u64>) -> ProgressBar {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let target = if is_dumb {
        ProgressDrawTarget::hidden()
    } else {
        // Hides itself where standard error is no terminal.
        ProgressDrawTarget::stderr()
    };
    // Cleared also where the command fails: its error is not to stand behind half a bar.
    let bar = ProgressBar::with_draw_target(length, target)
        .with_message(what)
        .with_finish(ProgressFinish::AndClear);
    let form = if length.is_some() {
        "{msg} {wide_bar} {pos}/{len}, {eta} left"
    } else {
        "{msg} {pos}"
    };
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}
