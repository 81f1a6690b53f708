//! The aggregation: what a team adds to a notification between parsing and the one write.

use onewrite::{item::Enrichment, notification::Notification};

/// Returns what to store in addition to the notification. This one adds nothing.
///
/// The result is stored as the attribute `enrichment` and travels with the event. The id, type, payload and fingerprint
/// cannot be changed.
///
/// An aggregation must be pure, because the guarantees depend on it: it runs again for each copy of a message, so it must
/// not call anything and must not read a clock. A panic fails only the one message. So does a result that breaks a rule for
/// messages, such as the depth of 64 levels, because it could not be published. Do not reject messages here; refuse them
/// downstream, where the audit trail shows it.
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
