//! The console in a real browser: headless Chromium, over a model of a pipeline, and over `cargo local up` with the real binaries.
//!
//! Without Chromium and chromedriver, the tests that need them only print that they did not run. `ONEWRITE_REQUIRE_BROWSER=1` makes
//! that a failure. The screenshots are in `target/console-screenshots`.

mod address;
mod all;
mod browser;
mod driver;
mod fixture;
mod http;
mod look;
mod pages;
mod redrive;
mod security;
mod sentence;
mod tool;
mod truth;
mod wait;
