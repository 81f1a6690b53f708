//! Escapes text for HTML.

/// Makes a text safe as content of an element and of a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A character that could reorder or hide the text around it is shown as its number.
            invisible if is_invisible(invisible) => {
                escaped.push_str(&format!("U+{:04X}", u32::from(invisible)));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Control characters except line breaks, and those of bidirectional text.
fn is_invisible(character: char) -> bool {
    let is_bidirectional = matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    (character.is_control() && character != '\n') || is_bidirectional
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        for (text, escaped) in [
            ("refund-000001", "refund-000001"),
            ("Müller & Söhne", "Müller &amp; Söhne"),
            (
                "<img src=x onerror=alert(1)>",
                "&lt;img src=x onerror=alert(1)&gt;",
            ),
            ("\" onclick='x'", "&quot; onclick=&#39;x&#39;"),
            ("a\u{202e}b\u{0}", "aU+202EbU+0000"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }
}
