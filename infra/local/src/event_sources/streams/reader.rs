//! Reads a stream shard by shard, and goes on with the iterator of a shard's last read where it can.
//!
//! No service's SDK here, and no decision what is read when: that is the poller's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use onewrite_event_sources::stream::{Position, ShardDescription};

use super::{Page, ReadFailure, Source, Start};

pub(super) struct Reader {
    source: Box<dyn Source>,
    shards: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Cursor>>>>,
}

impl Reader {
    pub(super) fn new(source: Box<dyn Source>) -> Self {
        Self {
            source,
            shards: Mutex::default(),
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<ShardDescription>, String> {
        self.source.list().await
    }

    /// Reads a shard at `position`. Reads of one shard follow each other: a poller that has given a read up asks again
    /// while the first is still on its way, and must find the place that the first one leaves.
    pub(super) async fn read(
        &self,
        shard: &str,
        position: &Position,
        limit: u32,
    ) -> Result<Page, ReadFailure> {
        let cursor = self.cursor(shard);
        let mut cursor = cursor.lock().await;
        let kept = match cursor.iterator_at(position) {
            Some(iterator) => match self.source.read(shard, iterator, limit).await {
                Err(ReadFailure::Expired) => None,
                page => Some(page?),
            },
            None => None,
        };
        let page = match kept {
            Some(page) => page,
            None => {
                let start = cursor.start(position);
                let iterator = self.source.iterator(shard, &start).await?;
                cursor.keep(position.clone(), iterator.clone());
                self.source.read(shard, &iterator, limit).await?
            }
        };
        cursor.has_read(position, &page);
        Ok(page)
    }

    fn cursor(&self, shard: &str) -> Arc<tokio::sync::Mutex<Cursor>> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shards.entry(shard.to_owned()).or_default())
    }
}

/// The place where a shard's last read ended.
#[derive(Debug, Default)]
struct Cursor {
    /// The iterator to go on with, and the position it stands for.
    next: Option<(Position, String)>,
    /// The first record that was read from [`Position::Latest`]. From then on that position is before this record: a
    /// poller that comes back to it, having finished nothing, must not pass over what it has read.
    latest: Option<String>,
}

impl Cursor {
    fn iterator_at(&self, position: &Position) -> Option<&str> {
        let (at, iterator) = self.next.as_ref()?;
        (at == position).then_some(iterator)
    }

    fn start(&self, position: &Position) -> Start {
        match (position, &self.latest) {
            (Position::Latest, Some(first)) => Start::At(first.clone()),
            _ => Start::Position(position.clone()),
        }
    }

    fn keep(&mut self, position: Position, iterator: String) {
        self.next = Some((position, iterator));
    }

    fn has_read(&mut self, position: &Position, page: &Page) {
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
    use async_trait::async_trait;
    use onewrite_event_sources::stream::StreamRecord;

    use super::*;

    /// A shard with the records 1 to `written`, whose iterators are the number of the record before them.
    #[derive(Default)]
    struct Shard {
        written: u64,
        issued: Vec<Start>,
        expired: bool,
        trimmed: bool,
        failing: bool,
        /// A record arrives right after each new iterator.
        busy: bool,
    }

    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<Shard>>);

    impl Fake {
        fn change(&self, change: impl FnOnce(&mut Shard)) {
            change(&mut self.0.lock().unwrap());
        }

        fn issued(&self) -> Vec<Start> {
            self.0.lock().unwrap().issued.clone()
        }
    }

    #[async_trait]
    impl Source for Fake {
        async fn list(&self) -> Result<Vec<ShardDescription>, String> {
            Ok(Vec::new())
        }

        async fn iterator(&self, _shard: &str, start: &Start) -> Result<String, ReadFailure> {
            tokio::task::yield_now().await;
            let mut shard = self.0.lock().unwrap();
            if shard.trimmed {
                return Err(ReadFailure::Trimmed);
            }
            shard.issued.push(start.clone());
            shard.expired = false;
            let before = match start {
                Start::Position(Position::After(number)) => number.parse().unwrap(),
                Start::Position(Position::Latest) => shard.written,
                Start::Position(_) => 0,
                Start::At(number) => number.parse::<u64>().unwrap() - 1,
            };
            shard.written += u64::from(shard.busy);
            Ok(before.to_string())
        }

        async fn read(
            &self,
            _shard: &str,
            iterator: &str,
            limit: u32,
        ) -> Result<Page, ReadFailure> {
            tokio::task::yield_now().await;
            let shard = self.0.lock().unwrap();
            if shard.failing {
                return Err(ReadFailure::Failed("no answer".to_owned()));
            }
            if shard.expired {
                return Err(ReadFailure::Expired);
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

    async fn numbers(reader: &Reader, position: &Position) -> Vec<String> {
        let page = reader.read("shard", position, 3).await.unwrap();
        let numbers = page
            .records
            .into_iter()
            .map(|record| record.sequence_number);
        numbers.collect()
    }

    #[tokio::test]
    async fn a_shard_is_read_on_with_the_iterator_of_its_last_read() {
        let shard = Fake::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(Box::new(shard.clone()));
        assert_eq!(
            numbers(&reader, &Position::TrimHorizon).await,
            ["1", "2", "3"]
        );
        assert_eq!(numbers(&reader, &after(3)).await, ["4", "5"]);
        assert!(numbers(&reader, &after(5)).await.is_empty());
        shard.change(|shard| shard.written = 6);
        assert_eq!(numbers(&reader, &after(5)).await, ["6"]);
        assert_eq!(shard.issued(), [Start::Position(Position::TrimHorizon)]);
    }

    #[tokio::test]
    async fn a_record_that_comes_between_two_reads_at_latest_is_read() {
        let shard = Fake::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(Box::new(shard.clone()));
        assert!(numbers(&reader, &Position::Latest).await.is_empty());
        shard.change(|shard| shard.written = 6);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["6"]);
    }

    #[tokio::test]
    async fn what_was_read_from_latest_comes_again_for_a_poller_that_goes_back_to_it() {
        let shard = Fake::default();
        let reader = Reader::new(Box::new(shard.clone()));
        assert!(numbers(&reader, &Position::Latest).await.is_empty());
        shard.change(|shard| shard.written = 5);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1", "2", "3"]);
        assert_eq!(numbers(&reader, &after(3)).await, ["4", "5"]);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1", "2", "3"]);
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn a_read_that_overtakes_one_that_was_given_up_misses_nothing() {
        let shard = Fake::default();
        shard.change(|shard| shard.busy = true);
        let reader = Reader::new(Box::new(shard));
        let latest = Position::Latest;
        let (given_up, again) =
            futures::join!(numbers(&reader, &latest), numbers(&reader, &latest));
        assert_eq!(given_up, ["1"]);
        assert_eq!(again, ["1", "2"]);
    }

    #[tokio::test]
    async fn a_failed_read_at_latest_keeps_its_place() {
        let shard = Fake::default();
        shard.change(|shard| shard.failing = true);
        let reader = Reader::new(Box::new(shard.clone()));
        let failed = reader.read("shard", &Position::Latest, 3).await;
        assert_eq!(failed, Err(ReadFailure::Failed("no answer".to_owned())));
        shard.change(|shard| (shard.failing, shard.written) = (false, 1));
        assert_eq!(numbers(&reader, &Position::Latest).await, ["1"]);
    }

    #[tokio::test]
    async fn d20_an_expired_iterator_is_replaced_by_one_for_the_same_place() {
        let shard = Fake::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(Box::new(shard.clone()));
        numbers(&reader, &Position::TrimHorizon).await;
        shard.change(|shard| shard.expired = true);
        assert_eq!(numbers(&reader, &after(3)).await, ["4", "5"]);
        assert_eq!(
            shard.issued(),
            [
                Start::Position(Position::TrimHorizon),
                Start::Position(after(3))
            ]
        );
    }

    #[tokio::test]
    async fn a_poller_that_goes_back_to_its_checkpoint_gets_an_iterator_for_that() {
        let shard = Fake::default();
        shard.change(|shard| shard.written = 5);
        let reader = Reader::new(Box::new(shard.clone()));
        numbers(&reader, &Position::TrimHorizon).await;
        assert_eq!(numbers(&reader, &after(1)).await, ["2", "3", "4"]);
    }

    #[tokio::test]
    async fn d20_a_place_that_is_trimmed_is_told_as_such() {
        let shard = Fake::default();
        shard.change(|shard| shard.trimmed = true);
        let reader = Reader::new(Box::new(shard.clone()));
        let trimmed = reader.read("shard", &after(1), 3).await;
        assert_eq!(trimmed, Err(ReadFailure::Trimmed));
    }
}
