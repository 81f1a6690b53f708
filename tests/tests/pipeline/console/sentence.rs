//! Reads the sentence on top of the page.

use std::collections::BTreeMap;

/// The numbers of a sentence by the word behind them: `messages`, `notifications`, `effects`, `in`, `rejected`, `lost`, `still` …
pub(super) fn numbers(sentence: &str) -> BTreeMap<String, u64> {
    let parts = sentence.split(", ").filter_map(|part| {
        let (number, words) = part.split_once(' ')?;
        let number = number.replace(',', "").parse().ok()?;
        let word = words.split(' ').next()?.trim_end_matches('s');
        Some((word.to_owned(), number))
    });
    parts.collect()
}

/// The number before a word in singular, such as `message`. Zero if the sentence does not have it.
pub(super) fn number(sentence: &str, word: &str) -> u64 {
    numbers(sentence).get(word).copied().unwrap_or_default()
}

#[test]
fn reads_the_numbers_of_a_sentence() {
    let sentence = "1,204 messages sent, 1 notification, 1,180 effects, 9 in conflict, 15 rejected, 0 lost, 3 still on their way";
    for (word, expected) in [
        ("message", 1_204),
        ("notification", 1),
        ("effect", 1_180),
        ("in", 9),
        ("lost", 0),
        ("still", 3),
    ] {
        assert_eq!(number(sentence, word), expected, "{word}");
    }
    assert_eq!(numbers("Reading the pipeline …"), BTreeMap::new());
}
