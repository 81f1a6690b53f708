//! YOUR LOGIC, 1 of 2: what a team adds to a notification between parsing and the one write.

use onewrite::{item::Enrichment, notification::Notification};

/// Adds to the item whatever can be told from the notification alone. What is added is stored beside the payload as
/// the attribute `enrichment` and travels with the event; id, type, payload and fingerprint cannot be changed here.
///
/// This function is pure, and the guarantees rest on that: it is given no client, must call nothing and must not read
/// a clock, because it runs again for each copy of a message. A panic fails this message alone. To refuse a message,
/// do not: refuse it downstream, where the audit trail shows it.
///
/// ```
/// # use onewrite::{item::Enrichment, notification::Notification};
/// fn aggregate(notification: &Notification) -> Enrichment {
///     let mut enrichment = Enrichment::default();
///     enrichment.insert("large", notification.payload.as_str().len() > 10_000);
///     enrichment
/// }
/// ```
#[must_use]
pub fn aggregate(_notification: &Notification) -> Enrichment {
    Enrichment::default()
}
