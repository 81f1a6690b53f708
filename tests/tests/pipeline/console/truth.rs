//! What a local stack has, read from the table and the dead-letter queue as any user of AWS can.

use onewrite::notification::MessagePointers;
use onewrite_console::{
    sentence::grouped,
    view::{Count, Totals},
};
use onewrite_local::{
    clients::Clients,
    emulator::Credentials,
    inspect,
    messages::meaning,
    oracle::{Item, Meaning},
    up::StackFile,
};
use onewrite_stack::outputs::StackOutputs;

use super::sentence::number;

/// A message in the dead-letter queue.
pub(super) struct DeadLetter {
    pub(super) message_id: String,
    /// Whether it is valid, so that only its id was taken.
    pub(super) is_conflict: bool,
}

/// Access to a stack beside the console.
pub(super) struct Truth {
    clients: Clients,
    outputs: StackOutputs,
}

impl Truth {
    pub(super) fn new(file: &StackFile) -> Self {
        let credentials = Credentials {
            access_key_id: file.access_key_id.clone(),
            secret_access_key: file.secret_access_key.clone(),
        };
        Self {
            clients: Clients::new(&file.endpoint, &credentials),
            outputs: StackOutputs::new(file.outputs.clone()).unwrap(),
        }
    }

    /// Compares the sentence of an idle stack with the table and the queues.
    pub(super) async fn check_table(&self, sentence: &str) -> Vec<Item> {
        let items = inspect::read_items(&self.clients, &self.outputs.table)
            .await
            .unwrap();
        let count_in =
            |status: &str| items.iter().filter(|item| item.status == status).count() as u64;
        let (done, refused) = (count_in("DONE"), count_in("REFUSED"));
        assert_eq!(done + refused, items.len() as u64, "an item is not settled");
        let count = |count: u64| Some(Count(count));
        // The table knows neither the messages nor why they became dead letters.
        let totals = Totals {
            sent: count(number(sentence, "message")),
            created: count(items.len() as u64),
            done: count(done),
            refused: count(refused),
            effects: count(done),
            conflicts: count(number(sentence, "in")),
            rejected: count(number(sentence, "rejected")),
            waiting: count(self.depth(&self.outputs.queue_url).await),
            lost: count(0),
            ..Totals::default()
        };
        assert_eq!(sentence, totals.sentence());
        let letters = number(sentence, "in") + number(sentence, "rejected");
        assert_eq!(
            self.depth(&self.outputs.dead_letter_queue_url).await,
            letters
        );
        items
    }

    async fn depth(&self, queue_url: &str) -> u64 {
        let depth = inspect::read_queue_depth(&self.clients, queue_url).await;
        depth.unwrap().total() as u64
    }

    /// Receives and deletes all dead letters. Returns them by their message ids.
    pub(super) async fn drain_dead_letters(&self) -> Vec<DeadLetter> {
        let drained =
            inspect::drain_queue(&self.clients, &self.outputs.dead_letter_queue_url).await;
        let letter = |message: aws_sdk_sqs::types::Message| DeadLetter {
            message_id: message.message_id.unwrap(),
            is_conflict: matches!(
                meaning(&message.body.unwrap(), &MessagePointers::default()),
                Meaning::Valid { .. }
            ),
        };
        let mut letters: Vec<_> = drained.unwrap().into_iter().map(letter).collect();
        letters.sort_by(|one, other| one.message_id.cmp(&other.message_id));
        letters
    }
}

/// A number of the page, with its thousands separators.
pub(super) fn digits(text: &str) -> u64 {
    let number = text
        .replace(',', "")
        .parse()
        .unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(text, grouped(number));
    number
}
