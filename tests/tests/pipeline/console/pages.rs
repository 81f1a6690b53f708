//! What the page shows stays right: after a reload, in a second tab, with hostile data, and over a long time.

use serde_json::json;

use super::{
    browser::{Browser, Screen, selector},
    fixture::{self, Fixture, with_page},
    sentence::number,
    wait::{TIMEOUT, wait_for},
};

/// Whether the sentence has the numbers of the pipeline.
fn is_read(sentence: &str) -> bool {
    number(sentence, "message") > 0
}

#[tokio::test]
async fn a_deep_link_and_a_reload_keep_the_totals() {
    with_page(&[], &[], async |browser, fixture| {
        let address = fixture.address();
        browser.open(&address.page()).await;
        let before = browser.text_when("sentence", is_read).await;
        browser.click("send-duplicates").await;
        let sent = number(&before, "message") + 5;
        let created = number(&before, "notification") + 1;
        let is_stored =
            |text: &str| number(text, "message") == sent && number(text, "notification") == created;
        let sentence = browser.text_when("sentence", is_stored).await;
        let ids = browser.text_when("compare-ids", |text| text != "0").await;
        let double = browser.text("compare-double-write-effects").await;
        assert!(
            !browser.current_url().await.contains(&address.token),
            "the address keeps the token"
        );

        let link = address.notification(fixture::DONE);
        browser.open(&link).await;
        assert_eq!(browser.text("trace-place").await, "Done");
        assert_eq!(browser.text("sentence").await, sentence);
        let steps = browser.texts("trace-step").await;
        assert!(steps.len() >= 3, "{steps:?}");

        browser.reload().await;
        assert_eq!(browser.text("trace-place").await, "Done");
        assert_eq!(browser.texts("trace-step").await, steps);
        assert_eq!(browser.text_when("sentence", is_read).await, sentence);
        assert_eq!(browser.current_url().await, link);

        browser.open(&format!("{}/#/", address.origin())).await;
        browser.wait_until_shown("lab").await;
        assert_eq!(
            browser.text_when("compare-ids", |text| text != "0").await,
            ids
        );
        assert_eq!(browser.text("compare-double-write-effects").await, double);
        assert_eq!(browser.text("sentence").await, sentence);
    })
    .await;
}

/// Only the built-in ledger counts effects. For other targets, a zero would say that nothing arrived there.
#[tokio::test]
async fn effects_that_nobody_counts_are_not_shown_as_none() {
    with_page(&["--other-targets"], &[], async |browser, fixture| {
        let address = fixture.address();
        browser.open(&address.page()).await;
        browser.text_when("sentence", is_read).await;
        browser.click("send-100").await;
        browser.text_when("compare-ids", |text| text != "0").await;
        let is_said = |text: &str| text.starts_with("effects not counted");
        browser.text_when("compare-onewrite-verdict", is_said).await;
        assert_eq!(browser.text("compare-onewrite-effects").await, "–");
        assert_eq!(browser.text("compare-onewrite-repeated").await, "–");
        assert_ne!(browser.text("compare-double-write-effects").await, "–");
    })
    .await;
}

/// A tab that was never given the token shows nothing of the pipeline.
#[tokio::test]
async fn a_tab_without_the_token_asks_for_it() {
    with_page(&[], &["401"], async |browser, fixture| {
        let address = fixture.address();
        browser.open(&address.notification(fixture::DONE)).await;
        browser.wait_until_shown("token-form").await;
        assert!(!browser.shows("sentence").await);
        assert!(!browser.shows("trace-place").await);

        browser.fill("token-input", "wrong").await;
        browser.submit("token-input").await;
        browser
            .text_when("connection", |text| text == "No access")
            .await;
        browser.fill("token-input", &address.page()).await;
        browser.submit("token-input").await;
        browser.text_when("sentence", is_read).await;
    })
    .await;
}

/// The hostile texts of the model would create these elements and set this title.
const IS_TRICKED: &str = "return document.title === 'owned' || document.querySelectorAll('body img, body script, body iframe, body b').length > 0";

#[tokio::test]
async fn markup_in_data_stays_text() {
    with_page(&[], &[], async |browser, fixture| {
        let address = fixture.address();
        browser.open(&address.page()).await;
        browser.text("sentence").await;
        browser.open(&address.notification(fixture::MARKUP)).await;
        assert_eq!(browser.text("trace-id").await, fixture::MARKUP);
        assert!(
            !browser.shows("payload").await,
            "nobody asked for the payload"
        );
        browser.click("payload-show").await;
        let payload = browser.text("payload").await;
        assert!(
            payload.contains("<img") && payload.contains("onerror"),
            "{payload}"
        );
        assert_eq!(browser.evaluate(IS_TRICKED, Vec::new()).await, json!(false));

        for kind in ["dead_letters", "pending", "failure_bucket", "refused"] {
            browser.click("nav-attention").await;
            browser.click(&format!("attention-{kind}")).await;
            browser.text("entry").await;
            assert_eq!(
                browser.evaluate(IS_TRICKED, Vec::new()).await,
                json!(false),
                "{kind}"
            );
        }
    })
    .await;
}

/// A number of JavaScript keeps 15 digits of these.
#[tokio::test]
async fn numbers_of_20_digits_are_exact() {
    with_page(&[], &[], async |browser, fixture| {
        let address = fixture.address();
        let id = fixture::DONE;
        let path: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let payload = fixture.get(&format!("/api/payload?id={path}")).await;
        let trace = fixture.get(&format!("/api/trace?id={path}")).await;
        let payload = payload["payload"].as_str().unwrap().to_owned();
        let number = trace["records"][0]["sequence_number"]
            .as_str()
            .unwrap()
            .to_owned();
        for text in [&payload, &number] {
            let digits = text
                .split(|c: char| !c.is_ascii_digit())
                .map(str::len)
                .max();
            assert!(digits >= Some(20), "{text}");
        }
        browser.open(&address.page()).await;
        browser.text("sentence").await;
        browser.open(&address.notification(id)).await;
        browser.click("payload-show").await;
        assert_eq!(browser.text("payload").await, payload);
        assert_eq!(browser.text("sequence-number").await, number);
    })
    .await;
}

#[tokio::test]
async fn an_id_of_any_characters_has_a_deep_link() {
    with_page(&[], &["404"], async |browser, fixture| {
        let address = fixture.address();
        browser.open(&address.page()).await;
        browser.fill("search", fixture::AWKWARD).await;
        browser.click("search-go").await;
        assert_eq!(browser.text("trace-place").await, "Done");
        assert_eq!(browser.text("trace-id").await, fixture::AWKWARD);
        browser.reload().await;
        assert_eq!(browser.text("trace-id").await, fixture::AWKWARD);
        browser.open(&format!("{}/#/", address.origin())).await;
        browser.wait_until_shown("lab").await;
        browser.open(&address.notification(fixture::AWKWARD)).await;
        assert_eq!(browser.text("trace-place").await, "Done");

        browser.fill("search", "nobody-has-this-id").await;
        browser.click("search-go").await;
        let error = browser.text("trace-error").await;
        assert!(error.contains("No notification with this id"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn two_tabs_show_the_same() {
    with_page(&[], &[], async |browser, fixture| {
        let address = fixture.address();
        browser.open(&address.page()).await;
        let before = browser.text_when("sentence", is_read).await;
        let first = browser.current_tab().await;
        browser.open_tab(&address.page()).await;
        assert_eq!(browser.text_when("sentence", is_read).await, before);
        browser.click("send-100").await;
        let created = number(&before, "notification") + 100;
        let after = browser
            .text_when("sentence", |text| number(text, "notification") == created)
            .await;
        browser.switch_to(&first).await;
        assert_eq!(
            browser.text_when("sentence", |text| text == after).await,
            after
        );
    })
    .await;
}

/// A part that cannot be read is not the same as a part without alarms.
#[tokio::test]
async fn the_top_of_the_page_says_that_a_part_could_not_be_read() {
    for (arguments, expected) in [
        (&[][..], ""),
        (&["--no-alarms"], "· 1 part could not be read, see below"),
    ] {
        with_page(arguments, &[], async |browser, fixture| {
            browser.open(&fixture.address().page()).await;
            browser.text_when("sentence", is_read).await;
            assert_eq!(browser.texts("unread").await, [expected]);
            let listed = browser.texts("not-read").await.concat();
            assert_eq!(listed.contains("DescribeAlarms"), !expected.is_empty());
        })
        .await;
    }
}

/// A browser has six connections for all tabs of a server. Without one, a page would not even load.
#[tokio::test]
async fn more_tabs_than_the_browser_has_connections_work() {
    const TABS: usize = 8;
    /// The driver does not hide the other tabs.
    const SET_HIDDEN: &str =
        "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));";
    with_page(&[], &[], async |browser, fixture| {
        let page = fixture.address().page();
        let first = browser.current_tab().await;
        browser.open(&page).await;
        browser.text_when("connection", |text| text == "Live").await;
        for _ in 1..TABS {
            browser.evaluate(SET_HIDDEN, vec![json!(true)]).await;
            browser.open_tab(&page).await;
            browser.text_when("sentence", is_read).await;
        }
        browser.click("send-duplicates").await;
        let is_done = |text: &str| !text.is_empty();
        browser.text_when("lab-result", is_done).await;
        let sent = number(&browser.text("sentence").await, "message");
        browser.switch_to(&first).await;
        browser.evaluate(SET_HIDDEN, vec![json!(false)]).await;
        browser.text_when("connection", |text| text == "Live").await;
        // The numbers of both pages go on, so their sentences need not be equal.
        let is_current = |text: &str| number(text, "message") >= sent;
        browser.text_when("sentence", is_current).await;
    })
    .await;
}

/// The console ends and starts again. Its new token makes the open page ask for it, instead of showing old numbers as new ones.
#[tokio::test]
async fn an_open_page_says_that_the_console_is_gone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let fixture = Fixture::start(&[]).await;
    let origin = fixture.address().origin();
    browser.open(&fixture.address().page()).await;
    browser.text_when("connection", |text| text == "Live").await;
    fixture.end().await;
    browser
        .text_when("connection", |text| text.starts_with("Lost"))
        .await;
    let is_stale = browser
        .evaluate("return document.documentElement.dataset.stale", Vec::new())
        .await;
    assert_eq!(is_stale, json!("true"));

    let port = origin.rsplit(':').next().unwrap();
    let fixture = Fixture::start(&["--port", port]).await;
    browser
        .text_when("connection", |text| text == "No access")
        .await;
    browser.wait_until_shown("token-form").await;
    browser.open(&fixture.address().page()).await;
    browser.text_when("connection", |text| text == "Live").await;
    browser.finish(&origin, &["ERR_", "401"]).await;
    fixture.end().await;
}

/// Counts what the page keeps: elements, and bytes of its heap after a collection.
async fn size(browser: &Browser) -> (u64, u64) {
    browser
        .devtools("HeapProfiler.collectGarbage", json!({}))
        .await;
    let heap = browser.devtools("Runtime.getHeapUsage", json!({})).await;
    let elements = browser
        .evaluate("return document.querySelectorAll('*').length", Vec::new())
        .await;
    let bytes = heap["usedSize"].as_f64().unwrap();
    (elements.as_u64().unwrap(), bytes as u64)
}

/// The server sends 50 times as many events as for a local stack.
#[tokio::test]
async fn thousands_of_events_do_not_grow_the_page() {
    const WARM_UP: u64 = 500;
    const EVENTS: u64 = 3_000;
    /// What the engine may need for itself, such as compiled code. A page that kept 1 KiB of each event would need more.
    const TOLERANCE: u64 = 4 << 20;
    with_page(
        &["--traffic", "--interval-millis", "10"],
        &[],
        async |browser, fixture| {
            browser.show_on(Screen::light(1280)).await;
            // The page parses each event once.
            const COUNT: &str = "const parse = JSON.parse;
        window.parsed = 0;
        JSON.parse = (...rest) => { window.parsed += 1; return parse(...rest); };";
            browser
                .devtools(
                    "Page.addScriptToEvaluateOnNewDocument",
                    json!({"source": COUNT}),
                )
                .await;
            browser.open(&fixture.address().page()).await;
            let seen = async || -> u64 {
                let seen = browser.evaluate("return window.parsed", Vec::new()).await;
                seen.as_u64().unwrap()
            };
            wait_for("the page is warm", TIMEOUT, async || {
                (seen().await > WARM_UP).then_some(())
            })
            .await;
            let (elements, bytes) = size(browser).await;
            wait_for("events arrive", 5 * TIMEOUT, async || {
                (seen().await > EVENTS).then_some(())
            })
            .await;
            let (more_elements, more_bytes) = size(browser).await;
            assert!(
                more_elements <= elements + 20,
                "{elements} elements became {more_elements}"
            );
            assert!(
                more_bytes <= bytes + TOLERANCE,
                "{bytes} bytes became {more_bytes}"
            );
            let log = browser
                .evaluate(
                    "return document.querySelectorAll(arguments[0] + ' > *').length",
                    vec![json!(selector("log"))],
                )
                .await;
            assert!(log.as_u64().unwrap() <= 50, "{log}");
        },
    )
    .await;
}

/// `Fixture::end` fails if the process does not end: a server that waits for an open stream of events never ends.
#[tokio::test]
async fn the_server_ends_although_a_tab_is_open() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let fixture = Fixture::start(&[]).await;
    let address = fixture.address().clone();
    browser.open(&address.page()).await;
    browser.text_when("connection", |text| text == "Live").await;
    browser.open_tab(&address.page()).await;
    browser.text_when("connection", |text| text == "Live").await;
    fixture.end().await;
    let connected = tokio::net::TcpStream::connect(address.socket).await;
    assert!(connected.is_err(), "somebody still listens");
    browser.finish(&address.origin(), &["ERR_"]).await;
}
