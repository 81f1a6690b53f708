//! The port of `ingest`, on PartiQL: inserts that are under way at the same time go together, in one
//! `BatchExecuteStatement`.
//!
//! `INSERT` writes an item only if none of its key is there (DynamoDB developer guide, "PartiQL insert statements for
//! DynamoDB"), and each statement of a batch is judged by itself. It is no transaction, and it costs what the same writes
//! cost one by one; what it saves is requests. Its IAM action, `dynamodb:PartiQLInsert`, cannot change an item that is
//! there.

mod copies;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest, BatchStatementResponse,
    },
};
use futures::channel::oneshot;

use self::copies::Copies;
use super::{
    clients::dynamodb_client,
    dynamodb::{ALL_OLD, attributes, fingerprint},
    failure::Failure,
};
use crate::{
    item::{NotificationItem, attribute},
    limits::{MAX_ATTEMPTS, MAX_BATCH_STATEMENTS, RETRY_BASE},
    notification::{Fingerprint, NotificationId},
    table::{Inserted, NewNotifications, TableError},
};

/// One DynamoDB table of notifications, written to in batches.
///
/// There is no task and no clock behind it: who inserts while others do either finds its item taken along by one of
/// them, or takes along what waits. A lone insert is a batch of one, and an insert of an id that is under way waits for
/// that one's answer.
#[derive(Debug)]
pub struct BatchedInserts {
    client: Client,
    table_name: String,
    copies: Copies,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    tickets: u64,
}

/// An insert that no request has taken along yet.
struct Waiting {
    ticket: u64,
    statement: BatchStatementRequest,
    reply: oneshot::Sender<Reply>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.ticket)
    }
}

/// What DynamoDB said of one statement.
enum Reply {
    Created,
    Exists(Option<Fingerprint>),
    /// An item is there, and it was not told which.
    ExistsUntold,
    /// The statement alone failed: the SDK, for which the call succeeded, has not tried it again.
    StatementFailed(Failure),
    /// The call failed as a whole, after all that the SDK tried.
    CallFailed(Failure),
}

impl BatchedInserts {
    /// The table of that name, by a client of `config`.
    pub fn new(config: &SdkConfig, table_name: impl Into<String>) -> Self {
        Self {
            client: dynamodb_client(config),
            table_name: table_name.into(),
            copies: Copies::default(),
            queue: Mutex::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_batch_for(&self, ticket: u64) -> Option<Vec<Waiting>> {
        self.queue().next_batch_for(ticket)
    }

    /// One try, in a request with whatever else is waiting.
    async fn try_insert(&self, item: &NotificationItem) -> Reply {
        let statement = match self.statement(item) {
            Ok(statement) => statement,
            Err(failure) => return Reply::CallFailed(failure),
        };
        let (reply, replied) = oneshot::channel();
        let ticket = self.queue().add(statement, reply);
        // Who is about to insert as well does so before this goes on.
        tokio::task::yield_now().await;
        while let Some(batch) = self.next_batch_for(ticket) {
            self.send(batch).await;
        }
        // It was in one of those, or another insert took it along. That one may have been given up.
        let given_up = |_| Reply::CallFailed(Failure::unknown("the request was given up"));
        replied.await.unwrap_or_else(given_up)
    }

    async fn send(&self, batch: Vec<Waiting>) {
        let (statements, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.statement, waiting.reply))
            .unzip();
        let sent = statements.len();
        let answer = self
            .client
            .batch_execute_statement()
            .set_statements(Some(statements))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => Ok(answer.responses.unwrap_or_default()),
            Err(error) => Err(Failure::of(&error)),
        };
        // An answer belongs to a statement by its place alone, so with another number of them none can be believed.
        let answer = answer.and_then(|responses| {
            let answered = responses.len();
            let wrong = || Failure::unknown(format!("{answered} answers for {sent} statements"));
            (answered == sent).then_some(responses).ok_or_else(wrong)
        });
        match answer {
            Ok(responses) => {
                for (reply, response) in replies.into_iter().zip(responses) {
                    // Nobody waits for what was dropped meanwhile.
                    drop(reply.send(Reply::of(response)));
                }
            }
            Err(failure) => {
                for reply in replies {
                    drop(reply.send(Reply::CallFailed(failure.clone())));
                }
            }
        }
    }

    /// Its text depends on the names of the attributes alone; what is in them goes as parameters.
    fn statement(&self, item: &NotificationItem) -> Result<BatchStatementRequest, Failure> {
        let attributes: Vec<_> = attributes(item).collect();
        let mut text = format!("INSERT INTO \"{}\" VALUE {{", self.table_name);
        for (index, (name, _)) in attributes.iter().enumerate() {
            text.push_str(if index == 0 { "'" } else { ",'" });
            text.push_str(name);
            text.push_str("':?");
        }
        text.push('}');
        let values = attributes.into_iter().map(|(_, value)| value).collect();
        BatchStatementRequest::builder()
            .statement(text)
            .set_parameters(Some(values))
            .return_values_on_condition_check_failure(ALL_OLD)
            .build()
            .map_err(|_| Failure::refused("ConstructionFailure"))
    }

    /// The fingerprint of the item that is there: the rare path of a duplicate of which nothing was told. None where
    /// the item is gone again.
    async fn read(&self, id: &NotificationId) -> Result<Option<Inserted>, Failure> {
        let key = AttributeValue::S(id.as_str().to_owned());
        let read = self
            .client
            .get_item()
            .table_name(&self.table_name)
            .key(attribute::NOTIFICATION_ID, key)
            .projection_expression(attribute::FINGERPRINT)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        let exists = |item| Inserted::Exists {
            fingerprint: fingerprint(&item),
        };
        Ok(read.item.map(exists))
    }
}

impl Queue {
    fn add(&mut self, statement: BatchStatementRequest, reply: oneshot::Sender<Reply>) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting.push_back(Waiting {
            ticket,
            statement,
            reply,
        });
        ticket
    }

    /// What the next request has, oldest first; none once `ticket` was taken along. Each is of another id, as a request
    /// may not name an item twice: [`Copies`] lets one of an id come here, and another only where it was given up.
    fn next_batch_for(&mut self, ticket: u64) -> Option<Vec<Waiting>> {
        self.waiting.iter().find(|one| one.ticket == ticket)?;
        self.waiting.retain(|one| !one.reply.is_canceled());
        let size = self.waiting.len().min(MAX_BATCH_STATEMENTS);
        Some(self.waiting.drain(..size).collect())
    }
}

impl Reply {
    fn of(response: BatchStatementResponse) -> Self {
        let Some(error) = response.error else {
            return Self::Created;
        };
        let code = error.code.as_ref().map(BatchStatementErrorCodeEnum::as_str);
        match code {
            // The one documented for INSERT, and the one under which the old item is documented to be told.
            Some("DuplicateItem" | "ConditionalCheckFailed") => match &error.item {
                Some(old) => Self::Exists(fingerprint(old)),
                None => Self::ExistsUntold,
            },
            code => Self::StatementFailed(Failure::of_statement(code)),
        }
    }
}

#[async_trait]
impl NewNotifications for BatchedInserts {
    async fn insert(&self, item: &NotificationItem) -> Result<Inserted, TableError> {
        let insert = Box::pin(self.insert_first(item));
        Ok(self.copies.insert(item, insert).await?)
    }
}

impl BatchedInserts {
    /// The insert that is alone with its id: a try, and again where that may heal it.
    async fn insert_first(&self, item: &NotificationItem) -> Result<Inserted, Failure> {
        let mut tried = 1;
        loop {
            let failure = match self.try_insert(item).await {
                Reply::Created => return Ok(Inserted::Created),
                Reply::Exists(fingerprint) => return Ok(Inserted::Exists { fingerprint }),
                Reply::ExistsUntold => match self.read(&item.notification.id).await? {
                    Some(exists) => return Ok(exists),
                    None => Failure::unknown("the item that was there is gone"),
                },
                Reply::StatementFailed(failure) => failure,
                Reply::CallFailed(failure) => return Err(failure),
            };
            if tried == MAX_ATTEMPTS || !failure.may_pass() {
                return Err(failure);
            }
            let pause = RETRY_BASE * 2_u32.pow(tried);
            tokio::time::sleep(pause.mul_f64(rand::random())).await;
            tried += 1;
        }
    }
}

#[cfg(test)]
mod tests;
