//! The server, over HTTP.
