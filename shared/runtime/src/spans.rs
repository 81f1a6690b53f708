//! X-Ray spans: each function reports what it did for a notification, in the trace that the message came with.
//!
//! Lambda starts a new trace for each batch of a stream, so it cannot do this. Here a batch produces one span per
//! notification, each below the upstream's span that the item keeps. Spans go by UDP to the X-Ray daemon that Lambda runs
//! beside the function (X-Ray developer guide, "AWS X-Ray segment documents" and "Sending segment documents to the X-Ray
//! daemon"). Delivery is best effort: tracing never delays or fails a notification. Spans hold ids and times only.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::OnceLock,
};

use jiff::Timestamp;
use serde_json::json;

use onewrite::notification::{NotificationId, TraceParent};

/// The most spans that one invocation sends. Further spans are dropped.
pub const MAX_SPANS: usize = 100;

/// The variable that holds the address of the daemon (Lambda developer guide, "Defined runtime environment variables").
const DAEMON: &str = "AWS_XRAY_DAEMON_ADDRESS";

/// The work of one function for one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace and the upstream's span in it.
    pub traceparent: TraceParent,
    /// The notification.
    pub notification_id: NotificationId,
    /// The function.
    pub function: &'static str,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
}

impl Span {
    /// Creates a span if the message came with a sampled trace.
    #[must_use]
    pub fn new(
        traceparent: Option<&TraceParent>,
        notification_id: &NotificationId,
        function: &'static str,
        (from, to): (Timestamp, Timestamp),
    ) -> Option<Self> {
        let traceparent = traceparent.filter(|trace| trace.is_sampled())?;
        Some(Self {
            traceparent: traceparent.clone(),
            notification_id: notification_id.clone(),
            function,
            from,
            to,
        })
    }

    /// The datagram: a header and an independent subsegment below the upstream's segment.
    fn datagram(&self, id: u64) -> String {
        let seconds = |at: Timestamp| at.as_millisecond() as f64 / 1_000.0;
        let segment = json!({
            "type": "subsegment",
            "name": format!("onewrite-{}", self.function),
            "id": format!("{id:016x}"),
            "trace_id": self.traceparent.xray_trace_id(),
            "parent_id": self.traceparent.parent_id(),
            "start_time": seconds(self.from),
            "end_time": seconds(self.to),
            "annotations": {"notification_id": self.notification_id.as_str()},
        });
        format!("{{\"format\": \"json\", \"version\": 1}}\n{segment}")
    }
}

/// Sends spans to the daemon, if there is one. Never waits.
pub fn send(spans: &[Span]) {
    static DAEMON_SOCKET: OnceLock<Option<UdpSocket>> = OnceLock::new();
    if spans.is_empty() {
        return;
    }
    let socket = DAEMON_SOCKET.get_or_init(|| {
        let named = std::env::var(DAEMON).ok()?;
        connect(address(&named)?)
    });
    if let Some(socket) = socket {
        send_all(socket, spans);
    }
}

/// Parses the UDP address from `host:port` or from `tcp:host:port udp:host:port`.
fn address(named: &str) -> Option<SocketAddr> {
    let udp = named
        .split_whitespace()
        .find_map(|part| part.strip_prefix("udp:"));
    udp.unwrap_or(named).parse().ok()
}

fn connect(daemon: SocketAddr) -> Option<UdpSocket> {
    let any: SocketAddr = match daemon {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(daemon).ok()?;
    Some(socket)
}

fn send_all(socket: &UdpSocket, spans: &[Span]) {
    for span in spans.iter().take(MAX_SPANS) {
        // Best effort: send errors are ignored.
        let _ = socket.send(span.datagram(rand::random()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TRACEPARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

    fn span(traceparent: &str) -> Option<Span> {
        let id = NotificationId::parse("rf_8841").unwrap();
        let at = |text: &str| text.parse().unwrap();
        let times = (at("2026-11-23T10:00:00Z"), at("2026-11-23T10:00:00.250Z"));
        Span::new(
            TraceParent::parse(traceparent).as_ref(),
            &id,
            "ingest",
            times,
        )
    }

    #[test]
    fn creates_spans_for_sampled_traces_only() {
        assert!(span(TRACEPARENT).is_some());
        assert_eq!(span(&TRACEPARENT.replace("-01", "-00")), None);
        assert_eq!(span("no trace"), None);
    }

    #[test]
    fn sends_subsegments_of_the_upstream_trace_up_to_the_limit() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        daemon
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let socket = connect(daemon.local_addr().unwrap()).unwrap();
        let spans = vec![span(TRACEPARENT).unwrap(); MAX_SPANS + 1];
        send_all(&socket, &spans);
        let mut buffer = [0; 2048];
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..MAX_SPANS {
            let length = daemon.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            let (header, segment) = text.split_once('\n').unwrap();
            assert_eq!(header, r#"{"format": "json", "version": 1}"#);
            let mut segment: serde_json::Value = serde_json::from_str(segment).unwrap();
            let id = segment["id"].take();
            assert_eq!(id.as_str().unwrap().len(), 16);
            ids.insert(id.to_string());
            assert_eq!(
                segment,
                json!({
                    "type": "subsegment", "name": "onewrite-ingest", "id": null,
                    "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "parent_id": "53995c3f42cd8ad8",
                    "start_time": 1_795_428_000.0, "end_time": 1_795_428_000.25,
                    "annotations": {"notification_id": "rf_8841"},
                })
            );
        }
        assert_eq!(ids.len(), MAX_SPANS, "each has an id of its own");
        daemon.set_nonblocking(true).unwrap();
        assert!(daemon.recv(&mut buffer).is_err(), "one too many");
    }

    #[test]
    fn parses_the_daemon_address() {
        let expected = Some("169.254.79.129:2000".parse().unwrap());
        assert_eq!(address("169.254.79.129:2000"), expected);
        assert_eq!(address("tcp:127.0.0.1:1 udp:169.254.79.129:2000"), expected);
        assert_eq!(address("daemon"), None);
    }
}
