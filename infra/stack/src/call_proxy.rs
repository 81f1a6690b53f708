//! The parts of a proxy between a program and the emulator of a local stack, for tools and tests that watch calls or make them
//! fail.

use std::{io, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    client,
    header::{CONNECTION, HeaderValue, TRANSFER_ENCODING},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    task::JoinSet,
    time::sleep,
};

/// The pause after the system could not accept a connection, for example because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A response with its whole body.
pub type CallResponse = Response<Full<Bytes>>;

/// A call of a service, as the program sent it.
#[derive(Debug)]
pub struct Call {
    /// The name of the operation, such as `PutItem`. Empty if the request does not name one as the JSON protocols do.
    pub operation: String,
    pub body: Bytes,
    /// The program's end of the connection.
    pub peer: SocketAddr,
    /// The same request, to be forwarded.
    pub request: Request<Full<Bytes>>,
}

impl Call {
    async fn read(request: Request<Incoming>, peer: SocketAddr) -> Result<Self, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self {
            operation: operation(&parts.headers).to_owned(),
            request: Request::from_parts(parts, Full::new(body.clone())),
            body,
            peer,
        })
    }
}

/// The operation in the header `X-Amz-Target: DynamoDB_20120810.PutItem`.
fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split('.').next_back());
    operation.unwrap_or_default()
}

/// Accepts a connection. A failure is that of one connection, or passes; the server goes on.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    until_success(|| listener.accept()).await
}

async fn until_success<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Passes each call to `handle` until the future is dropped. Without a response, the connection is closed.
pub async fn serve<H, R>(listener: TcpListener, handle: H)
where
    H: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Option<CallResponse>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = accept(&listener).await;
        let handle = handle.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let handle = handle.clone();
                async move {
                    let call = Call::read(request, peer).await.map_err(io::Error::other)?;
                    let response = handle(call).await;
                    response.ok_or_else(|| io::Error::other("no response"))
                }
            });
            // An error here means that the connection was closed.
            let _ = server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Sends a request to `upstream` and returns the response.
///
/// # Errors
/// There was no whole response.
pub async fn forward(
    mut request: Request<Full<Bytes>>,
    upstream: impl ToSocketAddrs,
) -> io::Result<CallResponse> {
    let stream = TcpStream::connect(upstream).await?;
    // Each request has a new connection. The emulator keeps connections open long after the client closed them, so the request
    // asks it to close this one.
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
    let handshake = client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        drop(sender);
        Ok::<_, hyper::Error>(Response::from_parts(parts, Full::new(body)))
    };
    let (response, _) = tokio::join!(exchange, connection);
    let (mut parts, body) = response.map_err(io::Error::other)?.into_parts();
    // The proxy sends the whole body, regardless of its framing upstream, and the program keeps its connection.
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONNECTION);
    Ok(Response::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_cannot_be_accepted_does_not_end_the_server() {
        let mut results = vec![
            Ok(7),
            Err(io::ErrorKind::ConnectionAborted.into()),
            Err(io::ErrorKind::Other.into()),
        ];
        let mut attempt = || std::future::ready(results.pop().unwrap_or(Ok(0)));
        assert_eq!(until_success(&mut attempt).await, 7);
    }
}
