//! What the pollers of a stack see, for counts and charts. There is no second reader of a queue or a shard.

use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::StreamKind;
use onewrite_event_sources::message::Message;
use onewrite_event_sources::stream::StreamRecord;

/// Sees what the pollers do. Each call must return at once, and must not log a payload.
pub trait Observer: Send + Sync {
    /// A receive returned these messages.
    fn received(&self, _messages: &[Message]) {}

    /// The queue deleted these messages after the function acknowledged them.
    fn deleted(&self, _message_ids: &[String]) {}

    /// A shard returned these records. After a pause, it returns records again.
    fn read(&self, _kind: StreamKind, _shard: &str, _records: &[StreamRecord]) {}

    /// A batch of this many messages or records goes to a function.
    fn invoking(&self, _function: &str, _records: usize) {}

    /// An invocation with this many messages or records ended.
    fn invoked(&self, _function: &str, _records: usize, _outcome: &InvocationOutcome) {}
}

/// Sees nothing.
impl Observer for () {}
