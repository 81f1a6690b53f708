//! The files of the page, embedded in the binary. Add each new file of `page/` here; a test compares the two.

/// A file of the page.
pub(crate) struct Asset {
    /// The path of the request.
    pub path: &'static str,
    pub content_type: &'static str,
    pub text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Embeds a file of `page/` under this path.
macro_rules! asset {
    ($path:literal, $file:literal, $content_type:expr) => {
        Asset {
            path: $path,
            content_type: $content_type,
            text: include_str!(concat!("../page/", $file)),
        }
    };
}

const ASSETS: &[Asset] = &[
    asset!("/", "index.html", HTML),
    asset!("/icon.svg", "icon.svg", SVG),
    asset!("/page/style.css", "style.css", CSS),
    asset!("/page/api.js", "api.js", JAVASCRIPT),
    asset!("/page/app.js", "app.js", JAVASCRIPT),
    asset!("/page/attention.js", "attention.js", JAVASCRIPT),
    asset!("/page/charts.js", "charts.js", JAVASCRIPT),
    asset!("/page/compare.js", "compare.js", JAVASCRIPT),
    asset!("/page/dom.js", "dom.js", JAVASCRIPT),
    asset!("/page/flow.js", "flow.js", JAVASCRIPT),
    asset!("/page/format.js", "format.js", JAVASCRIPT),
    asset!("/page/lab.js", "lab.js", JAVASCRIPT),
    asset!("/page/theme.js", "theme.js", JAVASCRIPT),
    asset!("/page/trace.js", "trace.js", JAVASCRIPT),
];

/// The file that a path names.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_embedded_once() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let files = std::fs::read_dir(directory).unwrap();
        let texts: Vec<String> = files
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
            .collect();
        let embedded: BTreeSet<&str> = ASSETS.iter().map(|asset| asset.text).collect();
        let on_disk: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(embedded, on_disk);
        assert_eq!(texts.len(), ASSETS.len());
        let paths: BTreeSet<&str> = ASSETS.iter().map(|asset| asset.path).collect();
        assert_eq!(paths.len(), ASSETS.len());
    }

    /// The content security policy refuses inline scripts and styles, and other origins.
    #[test]
    fn the_page_has_no_inline_script_and_no_external_address() {
        for asset in ASSETS {
            let text = asset.text.replace("http://www.w3.org/", "");
            for forbidden in ["http://", "https://", "innerHTML", "outerHTML", "eval("] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", asset.path);
            }
            if asset.content_type == HTML {
                for forbidden in ["<style", " style=", "javascript:", " onclick=", " onload="] {
                    assert!(!text.contains(forbidden), "{}: {forbidden}", asset.path);
                }
                let scripts = text.matches("<script").count();
                let with_source = text.matches(" src=\"/page/").count();
                assert_eq!(scripts, with_source, "{}", asset.path);
            }
        }
    }
}
