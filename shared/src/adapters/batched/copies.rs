//! Copies: inserts of one id that are under way at the same time. The first one asks the table; the others wait for what
//! it learns.
//!
//! A request may not name an item twice, so each copy would be a request of its own, and a read behind it where nothing
//! is told of the item that is there. What the first one learns answers them all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::channel::oneshot;

use crate::{
    adapters::failure::Failure, item::NotificationItem, notification::NotificationId,
    table::Inserted,
};

/// The ids that are under way, each with the copies that wait.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<HashMap<NotificationId, Vec<oneshot::Sender<Learned>>>>);

/// What the first one learned and tells the others.
type Learned = Result<Inserted, Failure>;

impl Copies {
    /// Inserts `item` by `insert`, unless another one of its id is under way; then that one's answer is the answer.
    ///
    /// Where the first one is given up, or refused for what may be wrong with its content alone, the next one asks.
    pub(super) async fn insert(
        &self,
        item: &NotificationItem,
        insert: impl Future<Output = Result<Inserted, Failure>> + Send,
    ) -> Result<Inserted, Failure> {
        let id = &item.notification.id;
        while let Some(first) = self.join(id) {
            if let Ok(learned) = first.await {
                return learned;
            }
        }
        let mut under_way = UnderWay {
            copies: self,
            id,
            learned: None,
        };
        let inserted = insert.await;
        under_way.learned = learned(item, &inserted);
        inserted
    }

    /// Waits behind the one that is under way; none where there is none, and now there is one.
    fn join(&self, id: &NotificationId) -> Option<oneshot::Receiver<Learned>> {
        let mut ids = self.ids();
        if let Some(waiting) = ids.get_mut(id) {
            let (sender, receiver) = oneshot::channel();
            waiting.push(sender);
            return Some(receiver);
        }
        ids.insert(id.clone(), Vec::new());
        None
    }

    fn ids(&self) -> MutexGuard<'_, HashMap<NotificationId, Vec<oneshot::Sender<Learned>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the others may conclude; nothing where each must ask for itself.
fn learned(item: &NotificationItem, inserted: &Result<Inserted, Failure>) -> Option<Learned> {
    match inserted {
        Ok(Inserted::Created) => Some(Ok(Inserted::Exists {
            fingerprint: Some(item.notification.fingerprint),
        })),
        Ok(exists) => Some(Ok(*exists)),
        // Throttled or not answered, and so would the others be.
        Err(failure) if failure.may_pass() => Some(Err(failure.clone())),
        Err(_) => None,
    }
}

/// The first one of its id. When it ends it tells what it learned; where that is nothing, those who wait behind it learn
/// that they must ask.
struct UnderWay<'a> {
    copies: &'a Copies,
    id: &'a NotificationId,
    learned: Option<Learned>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let waiting = self.copies.ids().remove(self.id);
        let Some(learned) = self.learned.take() else {
            return;
        };
        for copy in waiting.into_iter().flatten() {
            // Nobody waits for what was dropped meanwhile.
            drop(copy.send(learned.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures::{FutureExt, future::join_all};

    use super::*;
    use crate::{table::TableError, testing::contract::notification};

    fn exists(item: &NotificationItem) -> Inserted {
        Inserted::Exists {
            fingerprint: Some(item.notification.fingerprint),
        }
    }

    /// What each of these inserts of one id gets where those that ask are answered so, and how many ask.
    async fn inserted(
        items: &[NotificationItem],
        answer: impl Fn(&NotificationItem) -> Result<Inserted, Failure> + Sync,
    ) -> (Vec<Result<Inserted, TableError>>, usize) {
        let (copies, asked) = (Copies::default(), AtomicUsize::new(0));
        let (copies_ref, asked_ref, answer) = (&copies, &asked, &answer);
        let inserts = items.iter().map(|item| {
            copies_ref.insert(item, async move {
                asked_ref.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                answer(item)
            })
        });
        let inserted = join_all(inserts).await.into_iter();
        let inserted = inserted.map(|one| one.map_err(TableError::from)).collect();
        assert!(copies.ids().is_empty());
        (inserted, asked.into_inner())
    }

    #[tokio::test]
    async fn copies_are_told_what_the_first_one_wrote_or_found() {
        let items = ["1", "2", "1"].map(|payload| notification("n", payload));
        let (all, asked) = inserted(&items, |_| Ok(Inserted::Created)).await;
        let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            all,
            [Inserted::Created, exists(&items[0]), exists(&items[0])]
        );
        assert_eq!(asked, 1);

        for fingerprint in [Some(items[1].notification.fingerprint), None] {
            let found = Inserted::Exists { fingerprint };
            let (all, asked) = inserted(&items, |_| Ok(found)).await;
            assert!(all.into_iter().all(|one| one.unwrap() == found));
            assert_eq!(asked, 1);
        }
    }

    #[tokio::test]
    async fn what_would_fail_for_all_fails_for_all_at_once() {
        let items = ["1", "2"].map(|payload| notification("n", payload));
        for name in ["Throttled", "Unknown"] {
            let failed = |_: &_| {
                let reason = "a reason".to_owned();
                Err(match name {
                    "Throttled" => Failure::Throttled { code: reason },
                    _ => Failure::Unknown { reason },
                })
            };
            let (all, asked) = inserted(&items, failed).await;
            let texts: Vec<_> = all.iter().map(|one| format!("{one:?}")).collect();
            assert_eq!(texts[0], texts[1]);
            assert!(texts[0].contains(name) && texts[0].contains("a reason"));
            assert_eq!(asked, 1);
        }
    }

    #[tokio::test]
    async fn one_that_is_refused_does_not_fail_its_copies() {
        let items = ["1", "2", "3"].map(|payload| notification("n", payload));
        let bad = items[0].notification.fingerprint;
        let answer = |item: &NotificationItem| match item.notification.fingerprint == bad {
            true => Err(Failure::refused("ValidationException")),
            false => Ok(Inserted::Created),
        };
        let (all, asked) = inserted(&items, answer).await;
        assert_eq!(all[0].as_ref().unwrap_err().name(), "Refused");
        assert_eq!(*all[1].as_ref().unwrap(), Inserted::Created);
        assert_eq!(*all[2].as_ref().unwrap(), exists(&items[1]));
        assert_eq!(asked, 2);
    }

    #[tokio::test]
    async fn one_that_is_given_up_leaves_its_place_to_a_copy() {
        let (copies, item) = (Copies::default(), notification("n", "1"));
        let mut first = Box::pin(copies.insert(&item, pending()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(copies.insert(&item, ready(Ok(Inserted::Created))));
        assert!(second.as_mut().now_or_never().is_none(), "it waits");
        drop(first);
        assert_eq!(second.await.unwrap(), Inserted::Created);
    }

    #[tokio::test]
    async fn other_ids_do_not_wait_and_later_ones_ask_again() {
        let copies = Copies::default();
        let (one, other) = (notification("n", "1"), notification("m", "1"));
        let mut first = Box::pin(copies.insert(&one, pending()));
        assert!(first.as_mut().now_or_never().is_none());
        let created = || ready(Ok(Inserted::Created));
        assert_eq!(
            copies.insert(&other, created()).await.unwrap(),
            Inserted::Created
        );
        drop(first);
        for _ in 0..2 {
            let inserted = copies.insert(&one, created()).await;
            assert_eq!(inserted.unwrap(), Inserted::Created);
        }
    }
}
