//! Reads a stream shard by shard and reuses the iterator of a shard's last read if possible.
//!
//! This module uses no SDK. The poller decides what to read and when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use onewrite_event_sources::stream::{Position, ShardDescription};

use super::source::{IteratorStart, Page, ReadError, Source};

pub(super) struct Reader<S> {
    source: S,
    shards: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Cursor>>>>,
}

impl<S: Source> Reader<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            shards: Mutex::default(),
        }
    }

    pub(super) async fn list_shards(&self) -> Result<Vec<ShardDescription>, String> {
        self.source.list_shards().await
    }

    /// Reads a shard at `position`. Reads of one shard run one after the other: a poller that abandons a read asks again
    /// while the first read is still running, and must continue where the first one ends.
    pub(super) async fn read(
        &self,
        shard: &str,
        position: &Position,
        limit: u32,
    ) -> Result<Page, ReadError> {
        let cursor = self.cursor(shard);
        let mut cursor = cursor.lock().await;
        let cached = match cursor.iterator_at(position) {
            Some(iterator) => match self.source.read(shard, iterator, limit).await {
                Err(ReadError::Expired) => None,
                page => Some(page?),
            },
            None => None,
        };
        let page = match cached {
            Some(page) => page,
            None => {
                let start = cursor.start(position);
                let iterator = self.source.iterator(shard, &start).await?;
                cursor.set_iterator(position.clone(), iterator.clone());
                self.source.read(shard, &iterator, limit).await?
            }
        };
        cursor.advance(position, &page);
        Ok(page)
    }

    fn cursor(&self, shard: &str) -> Arc<tokio::sync::Mutex<Cursor>> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shards.entry(shard.to_owned()).or_default())
    }
}

/// The place where the last read of a shard ended.
#[derive(Debug, Default)]
struct Cursor {
    /// The iterator to continue with, and its position.
    next: Option<(Position, String)>,
    /// The first record read from [`Position::Latest`]. From then on, that position is before this record: a poller that
    /// returns to it without having finished a record must not skip this one.
    latest: Option<String>,
}

impl Cursor {
    fn iterator_at(&self, position: &Position) -> Option<&str> {
        let (at, iterator) = self.next.as_ref()?;
        (at == position).then_some(iterator)
    }

    fn start(&self, position: &Position) -> IteratorStart {
        match (position, &self.latest) {
            (Position::Latest, Some(first)) => IteratorStart::At(first.clone()),
            _ => IteratorStart::Position(position.clone()),
        }
    }

    fn set_iterator(&mut self, position: Position, iterator: String) {
        self.next = Some((position, iterator));
    }

    fn advance(&mut self, position: &Position, page: &Page) {
        if *position == Position::Latest && self.latest.is_none() {
            let first = page.records.first();
            self.latest = first.map(|record| record.sequence_number.clone());
        }
        let end = page.records.last().map_or_else(
            || position.clone(),
            |last| Position::After(last.sequence_number.clone()),
        );
        self.next = page.next.clone().map(|iterator| (end, iterator));
    }
}

#[cfg(test)]
mod tests {
    use onewrite_event_sources::stream::StreamRecord;

    use super::*;

    /// A shard with the records 1 to `written`. An iterator is the number of the record before it.
    #[derive(Default)]
    struct Shard {
        written: u64,
        issued: Vec<IteratorStart>,
        expired: bool,
        trimmed: bool,
        failing: bool,
        /// A record arrives right after each new iterator.
        busy: bool,
    }

    #[derive(Clone, Default)]
    struct FakeSource(Arc<Mutex<Shard>>);

    impl FakeSource {
        fn change(&self, change: impl FnOnce(&mut Shard)) {
            change(&mut self.0.lock().unwrap());
        }

        fn issued_iterators(&self) -> Vec<IteratorStart> {
            self.0.lock().unwrap().issued.clone()
        }
    }

    impl Source for FakeSource {
        async fn list_shards(&self) -> Result<Vec<ShardDescription>, String> {
            Ok(Vec::new())
        }

        async fn iterator(&self, _shard: &str, start: &IteratorStart) -> Result<String, ReadError> {
            tokio::task::yield_now().await;
            let mut shard = self.0.lock().unwrap();
            if shard.trimmed {
                return Err(ReadError::Trimmed);
            }
            shard.issued.push(start.clone());
            shard.expired = false;
            let before = match start {
                IteratorStart::Position(Position::After(number)) => number.parse().unwrap(),
                IteratorStart::Position(Position::Latest) => shard.written,
                IteratorStart::Position(_) => 0,
                IteratorStart::At(number) => number.parse::<u64>().unwrap() - 1,
            };
            shard.written += u64::from(shard.busy);
            Ok(before.to_string())
        }

        async fn read(&self, _shard: &str, iterator: &str, limit: u32) -> Result<Page, ReadError> {
            tokio::task::yield_now().await;
            let shard = self.0.lock().unwrap();
            if shard.failing {
                return Err(ReadError::Other("no response".to_owned()));
            }
            if shard.expired {
                return Err(ReadError::Expired);
            }
            let before: u64 = iterator.parse().unwrap();
            let last = shard.written.min(before + u64::from(limit));
            let records = (before + 1..=last).map(|number| StreamRecord {
                sequence_number: number.to_string(),
                key: "key".to_owned(),
                arrived: 0,
                event: "{}".to_owned(),
            });
            Ok(Page {
                records: records.collect(),
                next: Some(last.to_string()),
            })
        }
    }

    fn after(number: u64) -> Position {
        Position::After(number.to_string())
    }

    async fn numbers(reader: &Reader<FakeSource>, position: &Position) -> Vec<String> {
        let page = reader.read("shard", position, 3).await.unwrap();
        let numbers = page
            .records
            .into_iter()
            .map(|record| record.sequence_number);
        numbers.collect()
    }

    #[tokio::test]
    async fn continues_with_the_iterator_of_the_last_read() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(shard.clone());
        assert_eq!(
            numbers(&reader, &Position::TrimHorizon).await,
            ["1", "2", "3"]
        );
        assert_eq!(numbers(&reader, &after(3)).await, ["4", "5"]);
        assert!(numbers(&reader, &after(5)).await.is_empty());
        shard.change(|shard| shard.written = 6);
        assert_eq!(numbers(&reader, &after(5)).await, ["6"]);
        assert_eq!(
            shard.issued_iterators(),
            [IteratorStart::Position(Position::TrimHorizon)]
        );
    }

    #[tokio::test]
    async fn reads_records_that_arrive_between_two_reads_at_latest() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(shard.clone());
        assert!(numbers(&reader, &Position::Latest).await.is_empty());
        shard.change(|shard| shard.written = 6);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["6"]);
    }

    #[tokio::test]
    async fn rereads_records_when_the_poller_returns_to_latest() {
        let shard = FakeSource::default();
        let reader = Reader::new(shard.clone());
        assert!(numbers(&reader, &Position::Latest).await.is_empty());
        shard.change(|shard| shard.written = 5);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1", "2", "3"]);
        assert_eq!(numbers(&reader, &after(3)).await, ["4", "5"]);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1", "2", "3"]);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn misses_no_record_when_a_read_overtakes_an_abandoned_one() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.busy = true);
        let reader = Reader::new(shard);
        let latest = Position::Latest;
        let (abandoned, second) =
            futures::join!(numbers(&reader, &latest), numbers(&reader, &latest));
        assert_eq!(abandoned, ["1"]);
        assert_eq!(second, ["1", "2"]);
    }

    #[tokio::test]
    async fn keeps_its_place_after_a_failed_read_at_latest() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.failing = true);
        let reader = Reader::new(shard.clone());
        let failed = reader.read("shard", &Position::Latest, 3).await;
        assert_eq!(failed, Err(ReadError::Other("no response".to_owned())));
        shard.change(|shard| (shard.failing, shard.written) = (false, 1));
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1"]);
    }

    #[tokio::test]
    async fn d20_replaces_an_expired_iterator_at_the_same_position() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(shard.clone());
        numbers(&reader, &Position::TrimHorizon).await;
        shard.change(|shard| shard.expired = true);
        assert_eq!(numbers(&reader, &after(3)).await, ["4", "5"]);
        assert_eq!(
            shard.issued_iterators(),
            [
                IteratorStart::Position(Position::TrimHorizon),
                IteratorStart::Position(after(3))
            ]
        );
    }

    #[tokio::test]
    async fn requests_an_iterator_when_the_poller_returns_to_its_checkpoint() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(shard.clone());
        numbers(&reader, &Position::TrimHorizon).await;
        assert_eq!(numbers(&reader, &after(1)).await, ["2", "3", "4"]);
    }

    #[tokio::test]
    async fn d20_reports_a_trimmed_position() {
        let shard = FakeSource::default();
        shard.change(|shard| shard.trimmed = true);
        let reader = Reader::new(shard.clone());
        let trimmed = reader.read("shard", &after(1), 3).await;
        assert_eq!(trimmed, Err(ReadError::Trimmed));
    }
}
