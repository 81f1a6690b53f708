//! Serves the page over a model with rich and hostile data, for work on the page and for its tests. No stack is needed.
//!
//! `cargo run -p onewrite-console --example fixture`

use std::{io::Write as _, net::Ipv4Addr, sync::Arc, time::Duration};

use clap::Parser;
use onewrite_console::{
    auth::Token,
    lab::Lab,
    memory::Model,
    server::{Intervals, Options, page_address, serve},
};
use tokio::net::TcpListener;

/// How often messages move to the next stage.
const ADVANCE_INTERVAL: Duration = Duration::from_millis(250);

/// Serve the page of the console over a model.
#[derive(Parser)]
struct Arguments {
    /// The port on 127.0.0.1; 0 chooses a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Refuse all changes
    #[arg(long)]
    read_only: bool,
    /// Show a pipeline on AWS: without switches
    #[arg(long)]
    no_lab: bool,
    /// Deliver to targets whose effects nobody counts
    #[arg(long)]
    other_targets: bool,
    /// Have no permission to read the alarms
    #[arg(long)]
    no_alarms: bool,
    /// Begin with an empty pipeline
    #[arg(long)]
    empty: bool,
    /// Have all readings fail, as if the stack had ended
    #[arg(long)]
    failing: bool,
    /// Send messages in the background, so that the numbers move
    #[arg(long)]
    traffic: bool,
    /// Milliseconds between two events of each kind, instead of those of a local stack
    #[arg(long)]
    interval_millis: Option<u64>,
}

impl Arguments {
    fn options(&self, token: Token) -> Options {
        let interval = self.interval_millis.map(Duration::from_millis);
        Options {
            intervals: interval.map(|interval| Intervals {
                overview: interval,
                charts: interval,
                lab: interval,
            }),
            ..Options::new(token)
        }
    }
}

fn model(arguments: &Arguments) -> Model {
    let mut model = if arguments.empty {
        Model::new()
    } else {
        Model::with_rich_data()
    };
    if arguments.read_only {
        model = model.read_only();
    }
    if arguments.no_lab {
        model = model.without_lab();
    }
    if arguments.other_targets {
        model = model.with_other_targets();
    }
    if arguments.no_alarms {
        model = model.without_alarms();
    }
    if arguments.failing {
        model.set_failure(Some("the stack does not answer; is it still running?"));
    }
    model
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let model = model(&arguments);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    let token = Token::new()?;
    let address = page_address(listener.local_addr()?, &token);
    let options = arguments.options(token.clone());
    writeln!(std::io::stderr(), "Console: {address}")?;
    let moving = model.clone();
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(ADVANCE_INTERVAL);
        loop {
            interval.tick().await;
            if arguments.traffic {
                moving.send(rand::random_range(0..4));
            }
            moving.advance();
        }
    });
    let lab = (!arguments.no_lab).then(|| Arc::new(model.clone()) as Arc<dyn Lab>);
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, options, Arc::new(model), lab, interrupted).await?;
    Ok(())
}
