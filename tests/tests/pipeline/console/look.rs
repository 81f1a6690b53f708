//! How the page looks: each view on a narrow and a wide screen, light and dark, and by keyboard alone.

use serde_json::{Value, json};

use super::{
    browser::{Browser, Screen},
    fixture::{self, Fixture, with_page},
    wait::{TIMEOUT, wait_for},
};

/// The narrowest screen that the page supports.
const NARROW: u32 = 320;

/// Every view with something that it shows when it is complete.
fn views(fixture: &Fixture) -> [(&'static str, String, &'static str); 7] {
    let origin = fixture.address().origin();
    let view = |path: &str| format!("{origin}/#/{path}");
    [
        ("pipeline", view(""), "lab"),
        ("charts", view("charts"), "chart-throughput"),
        (
            "notification",
            fixture.address().notification(fixture::DONE),
            "trace-step",
        ),
        ("dead-letters", view("attention/dead_letters"), "entry"),
        ("pending", view("attention/pending"), "entry"),
        ("failure-bucket", view("attention/failure_bucket"), "entry"),
        ("refused", view("attention/refused"), "entry"),
    ]
}

/// Opens a view of a page that has its token already.
async fn show(browser: &Browser, (_, url, test_id): &(&str, String, &str)) {
    browser.open(url).await;
    browser.wait_until_shown(test_id).await;
    browser.text("sentence").await;
}

#[tokio::test]
async fn no_view_scrolls_sideways_on_a_narrow_screen() {
    const WIDER: &str = "const width = document.documentElement.clientWidth;
        return {
            page: document.documentElement.scrollWidth,
            screen: width,
            window: innerWidth,
            wide: [...document.querySelectorAll('body *')]
                .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > width + 1 && !one.closest('.table-wrap, pre, svg, code'))
                .map((one) => `${one.tagName} ${one.id} ${one.className}`).slice(0, 5),
        }";
    with_page(&[], &[], async |browser, fixture| {
        browser.show_on(Screen::light(NARROW)).await;
        browser.open(&fixture.address().page()).await;
        for view in &views(fixture) {
            show(browser, view).await;
            let found = browser.evaluate(WIDER, Vec::new()).await;
            assert_eq!(found["window"], json!(NARROW), "{}: {found}", view.0);
            // The scroll bar takes a part of the window.
            assert_eq!(found["page"], found["screen"], "{}: {found}", view.0);
        }
    })
    .await;
}

/// The screenshots are for a reviewer. The test checks that they are not empty: a page has more than one colour.
#[tokio::test]
async fn takes_a_screenshot_of_each_view() {
    with_page(&[], &[], async |browser, fixture| {
        browser.open(&fixture.address().page()).await;
        for screen in [
            Screen::light(1280),
            Screen::dark(1280),
            Screen::light(375),
            Screen::dark(375),
        ] {
            browser.show_on(screen).await;
            let theme = if screen.is_dark { "dark" } else { "light" };
            for view in &views(fixture) {
                show(browser, view).await;
                let name = format!("{}-{}-{theme}", view.0, screen.width);
                let bytes = browser.screenshot(&name).await;
                assert!(bytes > 10_000, "{name} has {bytes} bytes");
            }
        }
    })
    .await;
}

async fn background(browser: &Browser) -> Value {
    const BODY: &str = "return getComputedStyle(document.body).backgroundColor";
    browser.evaluate(BODY, Vec::new()).await
}

#[tokio::test]
async fn follows_the_theme_of_the_system_until_the_reader_chooses_one() {
    with_page(&[], &[], async |browser, fixture| {
        browser.show_on(Screen::light(1280)).await;
        browser.open(&fixture.address().page()).await;
        browser.text("sentence").await;
        let light = background(browser).await;
        browser.show_on(Screen::dark(1280)).await;
        let dark = background(browser).await;
        assert_ne!(light, dark);

        browser.click("theme").await;
        wait_for("the button changes the theme", TIMEOUT, async || {
            (background(browser).await == light).then_some(())
        })
        .await;
        browser.reload().await;
        browser.text("sentence").await;
        assert_eq!(background(browser).await, light, "a reload keeps the theme");
    })
    .await;
}

/// WebDriver's codes of keys (W3C WebDriver 2, "Keyboard actions").
const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';

/// Everything that can have the focus, in the order of the page. Of a group of tabs, only the chosen one is reached by Tab; the
/// arrow keys reach the others.
const FOCUSABLE: &str = "return [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({visibilityProperty: true}))
    .map((one) => one.dataset.testid ?? (one.id || one.textContent.trim()))";

/// What has the focus, and whether one can see that it has.
const FOCUSED: &str = "const one = document.activeElement;
    if (one === document.body) return {name: '', isMarked: true};
    const style = getComputedStyle(one);
    const isOutlined = (style) => style.outlineStyle !== 'none' && style.outlineWidth !== '0px';
    const isMarked = isOutlined(style) || style.boxShadow !== 'none' || isOutlined(getComputedStyle(one.parentElement ?? one));
    return {name: one.dataset.testid ?? (one.id || one.textContent.trim()), isMarked}";

/// Presses Tab until the focus is back at its start. Returns what had the focus.
async fn tab_through(browser: &Browser) -> Vec<String> {
    const LIMIT: usize = 300;
    browser
        .evaluate("document.activeElement.blur(); scrollTo(0, 0)", Vec::new())
        .await;
    let mut names = Vec::new();
    for _ in 0..LIMIT {
        browser.press(TAB).await;
        let focused = browser.evaluate(FOCUSED, Vec::new()).await;
        let name = focused["name"].as_str().unwrap().to_owned();
        if name.is_empty() {
            continue;
        }
        if names.first() == Some(&name) {
            return names;
        }
        let is_marked = focused["isMarked"] == json!(true);
        assert!(is_marked, "one cannot see that {name} has the focus");
        names.push(name);
    }
    panic!("Tab never comes back to the start: {names:?}");
}

#[tokio::test]
async fn the_keyboard_reaches_everything() {
    with_page(&[], &[], async |browser, fixture| {
        browser.show_on(Screen::light(1280)).await;
        browser.open(&fixture.address().page()).await;
        for view in &views(fixture)[..4] {
            show(browser, view).await;
            let all = browser.evaluate(FOCUSABLE, Vec::new()).await;
            let all: Vec<String> = serde_json::from_value(all).unwrap();
            assert!(all.len() > 8, "{}: {all:?}", view.0);
            let reached = tab_through(browser).await;
            let missed: Vec<_> = all.iter().filter(|name| !reached.contains(name)).collect();
            assert!(
                missed.is_empty(),
                "{}: Tab misses {missed:?}, reaches {reached:?}",
                view.0
            );
        }
    })
    .await;
}

/// From the first key to the trace of a notification, without a mouse.
#[tokio::test]
async fn finds_a_notification_with_the_keyboard_alone() {
    with_page(&[], &[], async |browser, fixture| {
        browser.open(&fixture.address().page()).await;
        browser.text("sentence").await;
        browser.press('/').await;
        for key in fixture::DONE.chars().chain([ENTER]) {
            browser.press(key).await;
        }
        assert_eq!(browser.text("trace-place").await, "Done");
    })
    .await;
}
