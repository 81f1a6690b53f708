//! `onewrite console`: serves a page on this machine that shows the pipeline.
//!
//! - [`pipeline`]: the port of the page on a stack, with the code of the other commands
//! - [`overview`], [`charts`], [`trace_view`]: what the page shows, from what was read
//! - [`letters`], [`items`]: what needs attention, and its redrive
//! - [`candidates`], [`previews`]: filters, and what a preview selected
//! - [`lab`]: the switches of a local stack

mod cached;
mod candidates;
mod charts;
mod failed;
mod items;
mod lab;
mod letters;
mod overview;
mod pipeline;
mod previews;
mod trace_view;

use std::{
    io::{self, Read as _},
    net::Ipv4Addr,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use onewrite_console::{
    auth::Token,
    lab::Lab,
    server::{Options, page_address, serve},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use self::{lab::LabClient, pipeline::StackPipeline};
use crate::{context::Context, error::OperatorError};

#[derive(Debug, Clone, Args)]
pub struct ConsoleArguments {
    /// Port on 127.0.0.1. Default: a free one.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Let the page redrive. Without it, the page is read-only.
    #[arg(long)]
    allow_changes: bool,
}

/// Serves the page until Ctrl-C. As a child of `cargo local up`, it also ends when its standard input closes.
///
/// # Errors
/// [`OperatorError`]: the port cannot be used.
pub async fn run(
    arguments: &ConsoleArguments,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    let lab = LabClient::of_stack(context.stack.is_local, |name| std::env::var(name).ok());
    let lab: Option<Arc<dyn Lab>> = lab.map(|lab| Arc::new(lab) as _);
    let is_child = std::env::var_os(lab::URL).is_some();
    // Whoever runs a local stack with its switches may also redrive.
    let allows_changes = arguments.allow_changes || lab.is_some();
    let stack = context.stack.clone();
    let pipeline = StackPipeline::new(stack, &context.command, allows_changes, lab.clone());
    let failed = |error: io::Error| OperatorError::Port {
        port: arguments.port,
        reason: error.to_string(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await;
    let listener = listener.map_err(failed)?;
    let token = Token::new().map_err(io::Error::other).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    eprintln!("Console: {}", page_address(address, &token));
    if !is_child {
        eprintln!("{}", hint(allows_changes));
    }
    let pipeline = Arc::new(pipeline);
    serve(listener, Options::new(token), pipeline, lab, end(is_child))
        .await
        .map_err(failed)?;
    // The runtime would wait for calls that look a host up, and the console ends within a second.
    std::process::exit(0)
}

/// Waits for Ctrl-C, for a signal that ends the process, or for the end of the terminal; a child also for the end of its parent.
async fn end(is_child: bool) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = signalled(SignalKind::terminate()) => {}
        () = signalled(SignalKind::hangup()) => {}
        () = input_closed(), if is_child => {}
    }
}

/// Waits for a signal; for ever if the system has none of this kind.
async fn signalled(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

fn hint(allows_changes: bool) -> &'static str {
    if allows_changes {
        "The page can redrive. Whoever has this address can, too. Ctrl-C ends it."
    } else {
        "The page is read-only; --allow-changes lets it redrive. Ctrl-C ends it."
    }
}

/// Waits until standard input closes.
async fn input_closed() {
    let (closed, wait) = oneshot::channel();
    // Not a blocking task: the runtime would wait for it when the process ends.
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        let mut input = std::io::stdin().lock();
        while input.read(&mut buffer).is_ok_and(|count| count > 0) {}
        let _ = closed.send(());
    });
    let _ = wait.await;
}
