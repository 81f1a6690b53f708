//! `cargo local demo --html`: real faults in a real stack, and the page about them.

use std::future::pending;

use onewrite_local::demo::{self, PageOptions};
use onewrite_local::oracle::Meaning;
use onewrite_local::profile::Profile;
use onewrite_local::sample;
use onewrite_local::stack::StackOptions;

/// The cells of the row with this name.
fn row<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let row = page.lines().find(|line| line.contains(name));
    let cells = row.unwrap_or_else(|| panic!("no row {name}")).split("<td");
    let content = |cell: &'a str| {
        let start = cell.find('>').unwrap() + 1;
        &cell[start..cell.find('<').unwrap()]
    };
    cells.skip(1).map(content).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_with_faults_keeps_every_guarantee_and_compares_itself() {
    let directory = tempfile::tempdir().unwrap();
    let page = PageOptions {
        path: directory.path().join("run.html"),
        seed: 1,
        command: "cargo local demo".to_owned(),
    };
    // Without the messages that need six receives.
    let mut messages = sample::messages(90, 1);
    messages.retain(|message| {
        matches!(&message.meaning, Meaning::Valid { content, .. } if content == "variant 0")
    });
    let options = StackOptions {
        profile: Profile::Dev,
        ..StackOptions::new("page")
    };
    let path = page.path.clone();
    let is_kept = Box::pin(demo::run(options, &messages, Some(page), pending())).await;
    assert!(is_kept.unwrap());

    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains("Every guarantee was kept."));
    assert_eq!(row(&page, "Notifications sent<"), ["60"; 3]);
    let effects = row(&page, ">Effects<");
    assert_eq!(effects[0], "60");
    assert_eq!(row(&page, "Lost: ")[0], "0");
    assert_ne!(row(&page, "Lost: ")[1], "0", "the plan shows no loss");
    assert_eq!(row(&page, "Lost: ")[2], "0");
    // The first number is onewrite's. `forward` may make too few calls for each of its faults.
    let times = |name: &str| row(&page, name)[0].parse::<u32>().unwrap();
    for fault in [
        "Process killed before it writes",
        "Process killed after it wrote the item",
        "Process killed after the effect",
        "Write throttled",
    ] {
        assert!(times(fault) > 0, "{fault}");
    }
    assert!(times("Connection cut") + times("Send reported") > 0);
}
