//! The addresses of the server.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{RawQuery, Request, State},
    http::StatusCode,
    middleware::from_fn_with_state,
    response::Response,
    routing::{get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::RwLock,
    time::{sleep, timeout},
};

use crate::{
    answer::{Refusal, json, typed},
    assets,
    change_log::{ChangeLog, describe_action},
    events::Hub,
    guard::{Guard, protect},
    lab::{Action, Lab},
    pipeline::{Pipeline, PipelineError},
    view::{Applied, Filter, Kind},
};

/// The longest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// The body of a request must arrive within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a redrive may take to stop in order when the console ends.
const STOP_TIMEOUT: Duration = Duration::from_millis(700);

type Answer = Result<Response, Refusal>;

/// What the handlers share.
pub(crate) struct Console {
    pub pipeline: Arc<dyn Pipeline>,
    pub lab: Option<Arc<dyn Lab>>,
    pub hub: Arc<Hub>,
    pub log: ChangeLog,
    /// Each redrive holds it shared, until its end is in the log.
    pub redrives: Arc<RwLock<()>>,
}

type Shared = State<Arc<Console>>;

impl Console {
    fn require_changes(&self) -> Result<(), Refusal> {
        if self.pipeline.about().allows_changes {
            return Ok(());
        }
        Err(PipelineError::ReadOnly.into())
    }

    /// Stops what runs in order, and waits for it.
    pub(crate) async fn end(&self) {
        let ((), _no_redrive) = tokio::join!(self.pipeline.end(), self.redrives.write());
    }
}

/// The router with the checks of the guard around all of it, unknown addresses included.
pub(crate) fn router(console: Arc<Console>, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/api/about", get(about))
        .route("/api/events", get(events))
        .route("/api/trace", get(trace))
        .route("/api/payload", get(payload))
        .route("/api/attention", post(attention))
        .route("/api/preview", post(preview))
        .route("/api/apply", post(apply))
        .route("/api/lab", post(act))
        .fallback(get(page_file).fallback(method_not_allowed))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(guard, protect))
        .with_state(console)
}

async fn page_file(request: Request) -> Answer {
    let asset = assets::find(request.uri().path()).ok_or_else(Refusal::not_found)?;
    Ok(typed(asset.content_type, asset.text))
}

async fn method_not_allowed(request: Request) -> Refusal {
    let path = request.uri().path();
    if assets::find(path).is_some() || path.starts_with("/api/") {
        return Refusal::method_not_allowed();
    }
    Refusal::not_found()
}

async fn about(State(console): Shared) -> Answer {
    Ok(json(&console.pipeline.about()))
}

async fn events(State(console): Shared) -> Answer {
    let Some(events) = console.hub.listen() else {
        let text = "too many pages of this console are open; close some";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    Ok(typed("text/event-stream", Body::from_stream(events)))
}

async fn trace(State(console): Shared, RawQuery(query): RawQuery) -> Answer {
    let id = read_id(query.as_deref())?;
    Ok(json(&console.pipeline.trace(&id).await?))
}

async fn payload(State(console): Shared, RawQuery(query): RawQuery) -> Answer {
    let id = read_id(query.as_deref())?;
    Ok(json(&console.pipeline.payload(&id).await?))
}

/// Entries of a kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    kind: Kind,
    #[serde(default)]
    filter: Filter,
}

async fn attention(State(console): Shared, body: Body) -> Answer {
    let Selection { kind, filter } = read_json(body).await?;
    Ok(json(&console.pipeline.attention(kind, &filter).await?))
}

async fn preview(State(console): Shared, body: Body) -> Answer {
    let Selection { kind, filter } = read_json(body).await?;
    console.require_changes()?;
    if filter.is_empty() {
        let text = "the filter is empty: choose a type, a reason, an age or entries";
        return Err(Refusal::invalid(text));
    }
    if kind == Kind::Refused {
        let text = "a refused notification is final and cannot be redriven";
        return Err(Refusal::invalid(text));
    }
    let preview = console.pipeline.preview(kind, &filter).await?;
    console.log.remember(&filter, &preview);
    Ok(json(&preview))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    token: String,
}

#[derive(Serialize)]
struct AppliedAll {
    applied: Vec<Applied>,
}

/// Redrives in its own task, so that a page that is closed does not stop it halfway.
async fn apply(State(console): Shared, body: Body) -> Answer {
    let Apply { token } = read_json(body).await?;
    console.require_changes()?;
    let running = Arc::clone(&console.redrives).read_owned().await;
    let redrive = tokio::spawn(async move {
        let _running = running;
        let too_late = async {
            console.hub.ended().await;
            sleep(STOP_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            result = redrive(&console, &token) => result,
            () = too_late => {
                let what = console.log.description(&token);
                console.log.write(&format!(
                    "gave the redrive of {what} up: it did not stop in time, and dead letters that it received stay hidden for minutes"
                ));
                Err(Refusal::new(StatusCode::BAD_GATEWAY, "the console ends"))
            }
        }
    });
    let applied = redrive.await.unwrap_or_else(|_| {
        let text = "the redrive ended unexpectedly; list the entries again";
        Err(Refusal::new(StatusCode::BAD_GATEWAY, text))
    })?;
    Ok(json(&AppliedAll { applied }))
}

async fn redrive(console: &Console, token: &str) -> Result<Vec<Applied>, Refusal> {
    let Console {
        pipeline, hub, log, ..
    } = console;
    let what = log.description(token);
    log.write(&format!("redrives {what}"));
    let applied = Mutex::new(Vec::new());
    let progress = |one: Applied| {
        hub.progress(token, &one);
        let mut applied = applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.push(one);
    };
    let result = pipeline.apply(token, &progress).await;
    hub.refresh();
    let applied = applied.into_inner().unwrap_or_else(PoisonError::into_inner);
    let redriven = applied.iter().filter(|one| one.is_redriven).count();
    let others = applied.len() - redriven;
    let end = match &result {
        Ok(()) if hub.is_ended() => "stopped because the console ends",
        Ok(()) => "ended",
        Err(PipelineError::Failed(_)) => "failed",
        Err(_) => "was refused",
    };
    log.write(&format!(
        "redrive of {what} {end}: {redriven} redriven, {others} not"
    ));
    match result {
        Ok(()) => Ok(applied),
        Err(error) => Err(Refusal {
            applied,
            ..error.into()
        }),
    }
}

#[derive(Serialize)]
struct Text {
    text: String,
}

async fn act(State(console): Shared, body: Body) -> Answer {
    let action: Action = read_json(body).await?;
    let Some(lab) = &console.lab else {
        let text = "this stack has no switches: it does not run on this machine";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    };
    console.require_changes()?;
    console.log.write(&describe_action(&action));
    let result = lab.act(action).await;
    console.hub.refresh();
    Ok(json(&Text { text: result? }))
}

/// The one `id` of a query.
fn read_id(query: Option<&str>) -> Result<String, Refusal> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match (pairs.next(), pairs.next()) {
        (Some((name, id)), None) if name == "id" && !id.is_empty() => Ok(id.into_owned()),
        _ => Err(Refusal::invalid("the address needs one id: ?id=...")),
    }
}

/// Reads a JSON body. The error never quotes it: a line of a file can be a payload.
async fn read_json<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let too_large = || {
        let text = format!("the body is larger than {MAX_BODY_BYTES} bytes or incomplete");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let body = timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES))
        .await
        .map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
        .map_err(|_| too_large())?;
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::invalid(format!(
            "the body is not a valid request (line {line}, column {column})"
        ))
    })
}
