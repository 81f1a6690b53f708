use onewrite::{event::NotificationEvent, notification::NotificationId};
use proptest::prelude::*;

use super::wire::event;
use crate::targets::names::{FifoIds, execution_name, webhook_id};

/// Ids that tend to be similar: short, at the limits, and like the names that are made of other ids.
fn ids() -> impl Strategy<Value = String> {
    let similar = || prop_oneof!["[ab ./-]{1,3}", "[a-]{60,66}", "[a/ ]{120,130}"];
    let named = similar().prop_map(|id| {
        let Ok(id) = NotificationId::parse(id) else {
            return "a".to_owned();
        };
        let event = event(id.as_str());
        // A name made of an id is itself an id.
        FifoIds::new(&event).group
    });
    prop_oneof![similar(), named]
        .prop_filter("an id", |id| NotificationId::parse(id.as_str()).is_ok())
}

fn with_fingerprint(id: &str, digits: u8) -> NotificationEvent {
    let mut event = event(id);
    event.fingerprint = format!("{digits:02x}").repeat(32).parse().unwrap();
    event
}

fn name(event: &NotificationEvent) -> String {
    execution_name(&event.subject, event.fingerprint)
}

proptest! {
    #[test]
    fn two_notifications_never_share_the_name_of_an_execution(
        one in (ids(), 0_u8..3),
        other in (ids(), 0_u8..3),
    ) {
        let names = [&one, &other].map(|(id, digits)| name(&with_fingerprint(id, *digits)));
        prop_assert_eq!(names[0] == names[1], one == other);
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        prop_assert!(names.iter().all(|name| (1..=80).contains(&name.len())));
        prop_assert!(names.iter().all(|name| name.bytes().all(is_allowed)));
    }

    #[test]
    fn two_notifications_never_share_a_group_or_a_deduplication_id(one in ids(), other in ids()) {
        let events = [event(&one), event(&other)];
        let [one_ids, other_ids] = events.each_ref().map(FifoIds::new);
        prop_assert_eq!(one_ids.group == other_ids.group, one == other);
        prop_assert_eq!(one_ids.deduplication == other_ids.deduplication, one == other);
        for id in [&one_ids.group, &one_ids.deduplication] {
            prop_assert!((1..=128).contains(&id.len()), "{}", id);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{}", id);
        }
        let [one_id, other_id] = events.each_ref().map(webhook_id);
        prop_assert_eq!(one_id == other_id, one == other);
        prop_assert!(!one_id.contains(['.', ' ']));
    }
}

/// They must not change: another name would start another execution, and another id would be another message.
#[test]
fn names_are_ids_as_they_are_if_the_service_allows_them() {
    let fingerprint = "ab".repeat(8);
    let named = |id: &str| name(&with_fingerprint(id, 0xab));
    assert_eq!(named("rf_88-1"), format!("rf_88-1-{fingerprint}"));
    let longest = "x".repeat(63);
    assert_eq!(named(&longest), format!("{longest}-{fingerprint}"));
    // 64 characters are too many together with the fingerprint.
    assert!(named(&"x".repeat(64)).starts_with("sha256-"));
    let sha256_of_a_slash_b = "c14cddc033f64b9dea80ea675cf280a015e672516090a5626781153dc68fea11";
    let expected = format!("sha256-{}-{fingerprint}", &sha256_of_a_slash_b[..56]);
    assert_eq!(named("a/b"), expected);

    let ids = FifoIds::new(&with_fingerprint("a/b", 0xab));
    let deduplication = format!("a/b/INIT/{fingerprint}");
    assert_eq!((&*ids.group, &*ids.deduplication), ("a/b", &*deduplication));
    let ids = FifoIds::new(&event(&"x".repeat(107)));
    assert_eq!(ids.group.len(), 107);
    assert!(ids.deduplication.starts_with("sha256-"));
    assert_eq!(ids.deduplication.len(), "sha256-".len() + 64);
    assert_eq!(webhook_id(&event("n-1")), "n-1/INIT");
    assert!(webhook_id(&event("n.1")).starts_with("sha256-"));
}
