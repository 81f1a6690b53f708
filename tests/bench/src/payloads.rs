//! The payloads of the measurements: synthetic refunds of several sizes, and the bodies of real webhooks.
//!
//! The real bodies are the examples in `webhooks/package.json`: payloads that GitHub sent, collected by the maintainers of its
//! SDKs. They are installed like a dependency, so no copy of them is part of this repository. All of them count for
//! write units; CPU time is measured with [`SELECTION`] of them in equal distances, so the result cannot influence the choice.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, InvalidItem, NotificationItem, PayloadCompression},
    notification::MessagePointers,
};
use onewrite_local::{
    process::Program, progress::Progress, python::Interpreter, workspace::Workspace,
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::refund::refund;

/// Number of different payloads in a measurement. Batches and runs are multiples of it, so every run has the same payloads.
pub const SELECTION: usize = 20;

/// The default size.
pub const ONE_KB: &str = "1 KB";
/// The size at which the work for the payload outweighs the work for the call.
pub const EIGHT_KB: &str = "8 KB";
/// The real bodies.
pub const WEBHOOKS: &str = "real webhooks";
/// Small enough that ten thousand changes fit in one Lambda event of at most 6 MB.
const SMALL: (&str, usize) = ("64 B", 64);

/// The synthetic payloads by size in bytes.
const SIZES: [(&str, usize); 6] = [
    ("200 B", 200),
    ("500 B", 500),
    (ONE_KB, 1_024),
    ("2 KB", 2_048),
    ("4 KB", 4_096),
    (EIGHT_KB, 8_192),
];

/// Payloads of one kind.
#[derive(Debug)]
pub struct Payloads {
    pub name: &'static str,
    /// The size of each, if they are synthetic.
    pub synthetic_bytes: Option<usize>,
    texts: Vec<String>,
    compressed: OnceLock<Vec<NotificationItem>>,
    plain: OnceLock<Vec<NotificationItem>>,
}

/// All payloads.
#[derive(Debug)]
pub struct PayloadSets {
    pub small: Payloads,
    /// In the order of their size.
    pub synthetic: Vec<Payloads>,
    /// `None` if they cannot be installed.
    pub webhooks: Option<Payloads>,
}

impl PayloadSets {
    /// Creates the synthetic payloads.
    #[must_use]
    pub fn new(webhooks: Option<Payloads>) -> Self {
        let synthetic = |(name, bytes)| Payloads::synthetic(name, bytes);
        Self {
            small: synthetic(SMALL),
            synthetic: SIZES.map(synthetic).into(),
            webhooks,
        }
    }

    /// All kinds whose write units are counted.
    pub fn all(&self) -> impl Iterator<Item = &Payloads> {
        self.synthetic.iter().chain(&self.webhooks)
    }

    /// The synthetic payloads with this name.
    ///
    /// # Panics
    /// If there are none with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> &Payloads {
        let mut all = self.synthetic.iter();
        match all.find(|payloads| payloads.name == name) {
            Some(payloads) => payloads,
            None => unreachable!("{name}"),
        }
    }
}

impl Payloads {
    fn new(name: &'static str, texts: Vec<String>) -> Self {
        Self {
            name,
            synthetic_bytes: None,
            texts,
            compressed: OnceLock::new(),
            plain: OnceLock::new(),
        }
    }

    /// Refunds of exactly this many bytes, the same ones in every run.
    #[must_use]
    pub fn synthetic(name: &'static str, bytes: usize) -> Self {
        let mut random = StdRng::seed_from_u64(bytes as u64);
        let texts = (0..SELECTION).map(|_| refund(bytes, &mut random));
        Self {
            synthetic_bytes: Some(bytes),
            ..Self::new(name, texts.collect())
        }
    }

    /// The bodies of real webhooks.
    ///
    /// # Errors
    /// If there is no npm, or it cannot install the package.
    pub async fn webhooks(workspace: &Workspace, progress: Progress) -> Result<Self> {
        #[derive(Deserialize)]
        struct Webhook {
            examples: Vec<Box<RawValue>>,
        }
        let path = install_webhooks(workspace, progress).await?;
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let webhooks: Vec<Webhook> = serde_json::from_str(&text)?;
        let examples = webhooks.iter().flat_map(|webhook| &webhook.examples);
        // GitHub sends JSON without white space. The package formats it for readers.
        let texts = examples.map(|example| without_white_space(example.get()));
        Ok(Self::new(WEBHOOKS, texts.collect()))
    }

    /// The texts.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// [`SELECTION`] of these payloads in equal distances.
    #[must_use]
    pub fn selection(&self) -> Self {
        let step = (self.texts.len() / SELECTION).max(1);
        let texts = self.texts.iter().step_by(step).take(SELECTION);
        Self::new(self.name, texts.cloned().collect())
    }

    /// The items that `ingest` would write. Their ids are not distinct.
    pub fn items(&self, compression: PayloadCompression) -> &[NotificationItem] {
        let items = match compression {
            PayloadCompression::Auto => &self.compressed,
            PayloadCompression::Never => &self.plain,
        };
        items.get_or_init(|| {
            let texts = self.texts.iter();
            texts.map(|text| item(&id(0), text, compression)).collect()
        })
    }
}

/// Installs the package unless the same version is installed.
async fn install_webhooks(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    const LOCK: &str = "package-lock.json";
    let source = workspace.root().join("tests/bench/webhooks");
    let home = workspace.root().join("target/bench/webhooks");
    let path = home.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let read = |directory: &Path| std::fs::read(directory.join(LOCK)).ok();
    if path.exists() && read(&home) == read(&source) {
        return Ok(path);
    }
    let interpreter = Interpreter::find().await?;
    let log = home.with_extension("log");
    let _ = std::fs::remove_file(&log);
    let step = progress.step("Installing real webhook bodies");
    std::fs::create_dir_all(&home)?;
    std::fs::copy(source.join("package.json"), home.join("package.json"))?;
    let _ = std::fs::remove_file(home.join(LOCK));
    std::fs::copy(source.join(LOCK), home.join(LOCK))?;
    Program::new(interpreter.path(), "npm", &log)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&home)
        .run("npm")
        .await?;
    step.done();
    Ok(path)
}

/// Removes the white space between the tokens of a JSON text.
fn without_white_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |character: &char| {
        let keeps = in_string || !character.is_ascii_whitespace();
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ => (),
        }
        keeps
    };
    json.chars().filter(keep).collect()
}

/// The id of the notification with this number.
pub(crate) fn id(number: usize) -> String {
    format!("6a1f3c52-0d4e-4b8a-9c37-{number:012x}")
}

/// The body of an SQS message.
pub(crate) fn body(id: &str, payload: &str) -> String {
    format!(r#"{{"notification_id":"{id}","type":"refund","payload":{payload}}}"#)
}

/// The item that `ingest` would write.
pub(crate) fn item(id: &str, payload: &str, compression: PayloadCompression) -> NotificationItem {
    let body = body(id, payload);
    let item = MessagePointers::default()
        .parse(&body)
        .map_err(InvalidItem::from)
        .and_then(|notification| {
            let enrichment = Enrichment::default();
            let now = Timestamp::UNIX_EPOCH;
            let id = id.to_owned();
            NotificationItem::new(notification, &enrichment, id, None, now, compression)
        });
    match item {
        Ok(item) => item,
        Err(rejection) => unreachable!("{rejection}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_payloads_are_distinct_json_of_the_exact_size() {
        let sets = PayloadSets::new(None);
        let sizes = [SMALL].into_iter().chain(SIZES);
        for (payloads, (_, bytes)) in [&sets.small].into_iter().chain(sets.all()).zip(sizes) {
            let distinct: std::collections::BTreeSet<_> = payloads.texts().iter().collect();
            assert_eq!(distinct.len(), SELECTION);
            for text in payloads.texts() {
                assert_eq!(text.len(), bytes, "{text}");
                serde_json::from_str::<serde_json::Value>(text).unwrap();
            }
        }
        assert_eq!(
            sets.get(ONE_KB).texts(),
            PayloadSets::new(None).get(ONE_KB).texts()
        );
    }

    #[test]
    fn white_space_is_removed_only_between_tokens() {
        let json = "{ \"a b\" : [ 1.50 ,\n\t\"\\\" \\\\\" , \"\" ] }";
        assert_eq!(without_white_space(json), r#"{"a b":[1.50,"\" \\",""]}"#);
    }

    #[test]
    fn a_selection_has_equal_distances() {
        let payloads = Payloads::new("any", (0..329).map(|number| number.to_string()).collect());
        let selection = payloads.selection();
        assert_eq!(selection.texts().len(), SELECTION);
        assert_eq!(&selection.texts()[..3], ["0", "16", "32"]);
        let few = Payloads::new("any", vec!["1".to_owned()]);
        assert_eq!(few.selection().texts(), ["1"]);
    }
}
