//! Deflate (RFC 1951) for the texts of an item, because DynamoDB bills each write by the size of the item.
//!
//! The format has no header, so it is what zlib calls raw deflate. In Python: `zlib.decompress(data, -15)`.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The level of compression. Higher levels take much longer and save little more.
const LEVEL: u32 = 6;

/// A text is inflated in pieces of at least this many bytes.
const MIN_INFLATED_BYTES: usize = 1024;

thread_local! {
    /// The state has some hundred kilobytes, which a message of 1 KB should not allocate.
    static DEFLATER: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// Compresses `text`. The same text always gives the same bytes.
///
/// `None` if the result would not be smaller than the text.
#[must_use]
pub fn deflate(text: &str) -> Option<Vec<u8>> {
    DEFLATER.with_borrow_mut(|deflater| {
        deflater.reset();
        let mut bytes = Vec::with_capacity(text.len());
        // With room for no more bytes than the text has, the stream does not end if it is not smaller.
        let status = deflater.compress_vec(text.as_bytes(), &mut bytes, FlushCompress::Finish);
        let ends = matches!(status, Ok(Status::StreamEnd)) && bytes.len() < text.len();
        ends.then(|| {
            bytes.shrink_to_fit();
            bytes
        })
    })
}

/// Decompresses a text of at most `max_bytes`. A few bytes can become a thousand times as many, so the size of `bytes`
/// limits nothing.
///
/// # Errors
/// [`InflateError`] names what is wrong with the bytes.
pub fn inflate(bytes: &[u8], max_bytes: usize) -> Result<String, InflateError> {
    let mut inflater = Decompress::new(false);
    // JSON usually becomes three to ten times smaller.
    let guess = bytes.len().saturating_mul(4).max(MIN_INFLATED_BYTES);
    let mut text = Vec::with_capacity(guess.min(max_bytes));
    loop {
        let read = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(read..).unwrap_or_default();
        let before = text.len();
        let status = inflater
            .decompress_vec(rest, &mut text, FlushDecompress::Finish)
            .map_err(|_| InflateError::Malformed)?;
        if status == Status::StreamEnd {
            break;
        }
        if text.len() < text.capacity() && text.len() == before {
            return Err(InflateError::Malformed);
        }
        if text.len() >= max_bytes {
            return Err(InflateError::TooLarge { max_bytes });
        }
        if text.len() == text.capacity() {
            // One byte more than allowed shows that the text is too large.
            text.reserve_exact(text.len().min(max_bytes - text.len() + 1));
        }
    }
    if text.len() > max_bytes {
        return Err(InflateError::TooLarge { max_bytes });
    }
    if usize::try_from(inflater.total_in()) != Ok(bytes.len()) {
        return Err(InflateError::TrailingBytes);
    }
    String::from_utf8(text).map_err(|_| InflateError::InvalidUtf8)
}

/// Bytes that are not a compressed text. No error quotes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// The bytes are not a deflate stream, or its end is missing.
    #[error("the bytes are not a complete deflate stream")]
    Malformed,
    /// Bytes follow the end of the stream.
    #[error("bytes follow the end of the deflate stream")]
    TrailingBytes,
    /// The text is longer than allowed.
    #[error("the text has more than {max_bytes} bytes")]
    TooLarge {
        /// The largest allowed size in bytes.
        max_bytes: usize,
    },
    /// The content is not UTF-8.
    #[error("the content is not UTF-8")]
    InvalidUtf8,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repeated(bytes: usize) -> String {
        "abcdefghij".repeat(bytes / 10)
    }

    #[test]
    fn a_text_becomes_smaller_and_is_the_same_again() {
        for bytes in [100, 1_000, 100_000, 1_000_000] {
            let text = repeated(bytes);
            let deflated = deflate(&text).unwrap();
            assert!(deflated.len() < text.len() / 2, "{}", deflated.len());
            assert_eq!(inflate(&deflated, text.len()), Ok(text));
        }
    }

    #[test]
    fn a_text_that_does_not_become_smaller_stays_text() {
        for text in ["", "1", "{}", "0f3A9zQ"] {
            assert_eq!(deflate(text), None, "{text}");
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_what_was_compressed_before() {
        let first = deflate(&repeated(5_000));
        drop(deflate("some other text, some other text, some other text"));
        assert_eq!(deflate(&repeated(5_000)), first);
    }

    #[test]
    fn a_small_item_cannot_fill_the_memory() {
        let bomb = deflate(&"0".repeat(1_000_000)).unwrap();
        assert!(bomb.len() < 2_000);
        for max_bytes in [0, 1, 999, 1_024, 999_999] {
            let too_large = Err(InflateError::TooLarge { max_bytes });
            assert_eq!(inflate(&bomb, max_bytes), too_large);
        }
        assert!(inflate(&bomb, 1_000_000).is_ok());
        let (result, memory) = allocation(|| inflate(&bomb, 10_000));
        assert!(result.is_err());
        assert!(memory < 100_000, "{memory}");
    }

    /// The result and the most bytes that were allocated at the same time.
    fn allocation<T>(work: impl FnOnce() -> T) -> (T, u64) {
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some(work()));
        (result.unwrap(), info.bytes_max)
    }

    #[test]
    fn every_other_sequence_of_bytes_is_an_error() {
        let text = repeated(1_000);
        let good = deflate(&text).unwrap();
        for length in 0..good.len() {
            assert_eq!(
                inflate(&good[..length], 10_000),
                Err(InflateError::Malformed)
            );
        }
        let longer = [good.as_slice(), b"x"].concat();
        assert_eq!(inflate(&longer, 10_000), Err(InflateError::TrailingBytes));
        // A stored block of one byte, 0xff.
        let block = [1, 1, 0, 0xfe, 0xff, 0xff];
        assert_eq!(inflate(&block, 10_000), Err(InflateError::InvalidUtf8));
    }

    proptest! {
        #[test]
        fn every_text_is_the_same_again(text in "(\\PC{0,40}){0,40}") {
            if let Some(deflated) = deflate(&text) {
                prop_assert!(deflated.len() < text.len());
                prop_assert_eq!(inflate(&deflated, text.len()), Ok(text));
            }
        }

        #[test]
        fn random_bytes_are_read_within_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = inflate(&bytes, 1_000) {
                prop_assert!(text.len() <= 1_000);
            }
        }
    }
}
