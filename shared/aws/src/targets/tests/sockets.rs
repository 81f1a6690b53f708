//! Tests an HTTP endpoint with the production HTTP client and a server on this machine.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::wire::{Outcome, accept, event, fault};
use crate::{
    replay::loader,
    targets::{ServiceTarget, TargetSettings},
};

/// A server that answers each connection's first request with its text, and then closes the connection.
struct Server {
    address: String,
    requests: UnboundedReceiver<String>,
}

impl Server {
    async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let request = read_request(&mut connection).await;
                sender.send(request).unwrap();
                // The client may close the connection before it has read everything.
                let _ = connection.write_all(&answer).await;
            }
        });
        Self { address, requests }
    }

    async fn target(&self) -> ServiceTarget {
        let config = loader().load().await;
        let address = format!("http://{}/hook?a=1", self.address).parse().unwrap();
        ServiceTarget::new(&config, &address, &TargetSettings::default()).unwrap()
    }
}

async fn read_request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return String::from_utf8(request).unwrap();
            }
        }
        let mut part = [0; 4096];
        let read = connection.read(&mut part).await.unwrap();
        assert_ne!(read, 0, "the request ended early");
        request.extend(&part[..read]);
    }
}

async fn deliver(answer: Vec<u8>) -> Outcome {
    let server = Server::start(vec![answer]).await;
    accept(&server.target().await, &event("n-1")).await
}

#[tokio::test]
async fn sends_a_request_of_http_1_1_with_path_query_and_length() {
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec();
    let mut server = Server::start(vec![answer]).await;
    let target = server.target().await;
    let event = event("n-1");
    assert_eq!(accept(&target, &event).await, Outcome::Happened);
    let request = server.requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.lines().next(), Some("POST /hook?a=1 HTTP/1.1"));
    assert!(
        head.contains(&format!("host: {}", server.address)),
        "{head}"
    );
    assert!(head.contains("idempotency-key: n-1"), "{head}");
    assert_eq!(body, event.to_json());
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_status_leaves_the_outcome_open() {
    for answer in ["", "HTTP/1.1 20"] {
        let outcome = deliver(answer.as_bytes().to_vec()).await;
        assert!(matches!(outcome, Outcome::Busy(_)), "{answer}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_called_again_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (_, requests) = unbounded_channel();
    let server = Server { address, requests };
    let outcome = accept(&server.target().await, &event("n-1")).await;
    assert!(matches!(outcome, Outcome::Busy(_)), "{outcome:?}");
}

#[tokio::test]
async fn the_status_decides_even_if_the_body_is_cut_endless_or_slow() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    assert_eq!(deliver(cut).await, Outcome::Happened);
    // More than buffers of the sockets can hold: a client that read it all would wait for the rest.
    let mut endless = b"HTTP/1.1 410 Gone\r\ncontent-length: 1000000000000\r\n\r\n".to_vec();
    endless.resize(32 * 1024 * 1024, b'x');
    assert_eq!(
        deliver(endless).await,
        Outcome::Refused("http_410".to_owned())
    );
}

#[tokio::test]
async fn follows_no_redirect() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/", other.local_addr().unwrap());
    let answer = format!("HTTP/1.1 307 x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let outcome = deliver(answer.into_bytes()).await;
    assert_eq!(outcome, fault("the endpoint returned 307"));
    // A connection would be in the queue of the other server, whose socket does not block.
    let queued = other.into_std().unwrap().accept().unwrap_err();
    assert_eq!(queued.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn the_same_connection_is_used_again_after_a_small_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_request(&mut connection).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            connection.write_all(answer).await.unwrap();
        }
    });
    let (_, requests) = unbounded_channel();
    let target = Server { address, requests }.target().await;
    for id in ["n-1", "n-2"] {
        assert_eq!(accept(&target, &event(id)).await, Outcome::Happened);
    }
    server.await.unwrap();
}
