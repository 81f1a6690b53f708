//! The address that a console prints.

use std::net::SocketAddr;

/// Before the address, on standard error.
pub(super) const PRINTED: &str = "Console: http://";

/// Where a console listens, and the token of its page.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    pub(super) token: String,
}

impl Address {
    /// Reads the line that a console prints.
    pub(super) fn parse(line: &str) -> Self {
        let (_, url) = line.split_once(PRINTED).unwrap();
        let url = url.split_whitespace().next().unwrap();
        let (socket, token) = url
            .split_once("/#token=")
            .unwrap_or_else(|| panic!("{line}"));
        let socket: SocketAddr = socket.parse().unwrap();
        assert!(socket.ip().is_loopback(), "{line}");
        // 128 bits need at least 22 characters of base64.
        assert!(token.len() >= 22, "{line}");
        Self {
            socket,
            token: token.to_owned(),
        }
    }

    pub(super) fn host(&self) -> String {
        self.socket.to_string()
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.socket)
    }

    /// The address with the token, as printed.
    pub(super) fn page(&self) -> String {
        format!("{}/#token={}", self.origin(), self.token)
    }

    /// The deep link of a notification, without the token.
    pub(super) fn notification(&self, id: &str) -> String {
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        // A form encodes a space as a plus sign, a path does not.
        format!(
            "{}/#/notification/{}",
            self.origin(),
            id.replace('+', "%20")
        )
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}
