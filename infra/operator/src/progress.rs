//! Progress bars on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// Creates a progress bar; without a length, a counter. It is hidden if standard error is not a terminal.
#[must_use]
pub fn bar(message: &'static str, length: Option<u64>) -> ProgressBar {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let target = if is_dumb {
        ProgressDrawTarget::hidden()
    } else {
        // It hides itself if standard error is not a terminal.
        ProgressDrawTarget::stderr()
    };
    // The bar is also cleared if the command fails, so that the error does not follow half a bar.
    let bar = ProgressBar::with_draw_target(length, target)
        .with_message(message)
        .with_finish(ProgressFinish::AndClear);
    let template = if length.is_some() {
        "{msg} {wide_bar} {pos}/{len}, {eta} left"
    } else {
        "{msg} {pos}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
