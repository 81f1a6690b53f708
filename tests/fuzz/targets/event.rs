//! Any bytes parse as an event or a typed error. An event round-trips through JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onewrite::event::NotificationEvent;

fuzz_target!(|bytes: &[u8]| {
    match NotificationEvent::parse(bytes) {
        Ok(event) => {
            let document = event.to_json();
            let again = NotificationEvent::parse(document.as_bytes()).expect("an event");
            assert!(again == event, "{event:?}");
            assert_eq!(again.to_json(), document);
        }
        Err(error) => drop(error.to_string()),
    }
});
