//! The server of the page.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    auth::Token,
    change_log::{ChangeLog, LogSink, machine_user, stderr_log},
    events::{Hub, Topic, poll},
    guard::Guard,
    lab::Lab,
    pipeline::Pipeline,
    routes::{Console, router},
};

/// Connections at the same time. A browser opens at most six.
const MAX_CONNECTIONS: usize = 128;

/// The head of a request must arrive within this time. An idle connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the end of the server waits for redrives that stop, and for answers that are not complete. Then it drops them.
const END_TIMEOUT: Duration = Duration::from_millis(800);

/// The pause after the system could not accept a connection, for example because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the poller reads, while a page is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    pub overview: Duration,
    pub charts: Duration,
    pub lab: Duration,
}

impl Intervals {
    /// For a local stack, whose numbers cost nothing.
    pub const LOCAL: Self = Self {
        overview: Duration::from_secs(1),
        charts: Duration::from_secs(2),
        lab: Duration::from_millis(500),
    };

    /// For AWS, which charges for each call and counts by the minute.
    pub const AWS: Self = Self {
        overview: Duration::from_secs(10),
        charts: Duration::from_secs(60),
        lab: Duration::from_secs(1),
    };
}

/// The settings of the server.
#[derive(Clone)]
pub struct Options {
    pub token: Token,
    /// How often to read. By default as the place of the pipeline needs it.
    pub intervals: Option<Intervals>,
    /// The user that the log of changes names.
    pub user: String,
    /// Where the log of changes goes.
    pub log: LogSink,
}

impl Options {
    /// Settings with this token: log on stderr, and the user of this machine.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self {
            token,
            intervals: None,
            user: machine_user(),
            log: stderr_log(),
        }
    }
}

/// The address of the page with its token. The token is in the fragment, which a browser never sends.
#[must_use]
pub fn page_address(address: SocketAddr, token: &Token) -> String {
    format!("http://{address}/#token={}", token.as_str())
}

/// Serves the page until `shutdown` ends. Then stops redrives in order, and ends within a second whatever the pages do.
///
/// # Errors
/// If the listener is not on the loopback interface.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    pipeline: Arc<dyn Pipeline>,
    lab: Option<Arc<dyn Lab>>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let text = "the console listens on the loopback interface only";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let (end, ended) = watch::channel(false);
    let hub = Arc::new(Hub::new(ended.clone()));
    let intervals = options.intervals.unwrap_or(if pipeline.about().is_local {
        Intervals::LOCAL
    } else {
        Intervals::AWS
    });
    // Dropped at the end, which stops the pollers.
    let _pollers = start_pollers(&hub, intervals, &pipeline, lab.as_ref());
    let console = Console {
        pipeline,
        lab,
        hub,
        log: ChangeLog::new(options.log, &options.user),
        redrives: Arc::default(),
    };
    let console = Arc::new(console);
    let guard = Guard::new(options.token, address);
    let router = router(Arc::clone(&console), Arc::new(guard));
    let mut connections = accept_until(shutdown, listener, &router, &ended).await;
    end.send_replace(true);
    let answers = async { while connections.join_next().await.is_some() {} };
    let all_ended = async { tokio::join!(console.end(), answers) };
    let _ = timeout(END_TIMEOUT, all_ended).await;
    Ok(())
}

fn start_pollers(
    hub: &Arc<Hub>,
    intervals: Intervals,
    pipeline: &Arc<dyn Pipeline>,
    lab: Option<&Arc<dyn Lab>>,
) -> JoinSet<()> {
    let mut pollers = JoinSet::new();
    let (own_hub, source) = (Arc::clone(hub), Arc::clone(pipeline));
    pollers.spawn(async move {
        poll(&own_hub, Topic::Overview, intervals.overview, || {
            source.overview()
        })
        .await;
    });
    let (own_hub, source) = (Arc::clone(hub), Arc::clone(pipeline));
    pollers.spawn(async move {
        poll(&own_hub, Topic::Charts, intervals.charts, || {
            source.charts()
        })
        .await;
    });
    if let Some(lab) = lab {
        let (own_hub, lab) = (Arc::clone(hub), Arc::clone(lab));
        pollers.spawn(async move {
            poll(&own_hub, Topic::Lab, intervals.lab, || lab.state()).await;
        });
    }
    pollers
}

/// Accepts connections until `shutdown` ends. Returns those that are open. Closes the listener.
async fn accept_until(
    shutdown: impl Future<Output = ()>,
    listener: TcpListener,
    router: &Router,
    ended: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return connections,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &slots) => match accepted {
                Ok((stream, slot)) => {
                    let (router, ended) = (router.clone(), ended.clone());
                    connections.spawn(async move {
                        serve_connection(stream, router, ended).await;
                        drop(slot);
                    });
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// Waits for a free slot, then for a connection.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

/// Serves one connection. When the server ends, it completes the current answer. A connection that fails is dropped: the browser
/// closed it.
async fn serve_connection(stream: TcpStream, router: Router, mut ended: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|is_ended| *is_ended) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
