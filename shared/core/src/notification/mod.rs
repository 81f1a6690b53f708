//! Notifications: id, type, payload, fingerprint and status. Each is parsed once into its own type.
//!
//! Nothing here does I/O. A value of these types is valid, so no other code checks it again.

mod consumer;
mod content;
mod fingerprint;
pub(crate) mod json;
mod message;
mod name;
mod pointer;
mod refusal;
mod rejection;
mod status;
mod trace;

pub use consumer::ConsumerName;
pub use content::{Notification, Payload};
pub use fingerprint::Fingerprint;
pub use message::MessagePointers;
pub(crate) use name::check_name;
pub use name::{DEFAULT_TYPE, InvalidName, NotificationId, NotificationType};
pub use pointer::{IdPointers, InvalidIdPointers, InvalidPointer, Pointer};
pub use refusal::{InvalidRefusal, Refusal};
pub use rejection::Rejection;
pub use status::{Status, UnknownStatus};
pub use trace::TraceParent;
