//! The targets that `complete` delivers notifications to: queues, functions, workflows, HTTPS endpoints, buses and topics.
//!
//! [`ServiceTarget::new`] makes a target from its ARN or URL. A call of a target has one attempt and ends after ten seconds,
//! because the event source retries. A call without an answer may have had its effect: it is never taken for a success, and
//! [`DownstreamError::is_busy`] is true for it, as for a throttled one. No error contains anything of the notification or of a
//! secret.

mod address;
mod batcher;
mod call;
mod event_bus;
mod function;
mod limits;
mod names;
mod queue;
mod secret;
mod settings;
mod signature;
mod state_machine;
#[cfg(test)]
mod tests;
mod topic;
mod url;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

pub use self::{
    address::{AddressKind, InvalidTarget, TargetAddress},
    limits::CALL_TIMEOUT,
    settings::{RefusalStatuses, TargetSettings},
};
use self::{
    event_bus::EventBus, function::Function, queue::Queue, state_machine::StateMachine,
    topic::Topic, url::Endpoint,
};

/// A target on AWS or behind a URL.
#[derive(Debug)]
pub struct ServiceTarget {
    address: TargetAddress,
    service: TargetService,
}

#[derive(Debug)]
enum TargetService {
    Queue(Queue),
    Function(Function),
    StateMachine(StateMachine),
    EventBus(EventBus),
    Topic(Topic),
    Url(Endpoint),
}

impl ServiceTarget {
    /// The target at this address. Nothing is called. A resource in another region is called there.
    ///
    /// # Errors
    /// [`InvalidTarget`]: the address is no target, or the settings have an address of the wrong kind.
    pub fn new(
        config: &SdkConfig,
        address: &TargetAddress,
        settings: &TargetSettings,
    ) -> Result<Self, InvalidTarget> {
        settings.check()?;
        let kind = address.kind();
        let service = match (kind, address.arn(), address.url()) {
            (AddressKind::Queue, Some(arn), _) => TargetService::Queue(Queue::new(config, arn)),
            (AddressKind::Function, Some(arn), _) => {
                TargetService::Function(Function::new(config, arn, settings))
            }
            (AddressKind::StateMachine, Some(arn), _) => {
                TargetService::StateMachine(StateMachine::new(config, arn))
            }
            (AddressKind::EventBus, Some(arn), _) => {
                TargetService::EventBus(EventBus::new(config, arn))
            }
            (AddressKind::Topic, Some(arn), _) => TargetService::Topic(Topic::new(config, arn)),
            (_, _, Some(url)) => TargetService::Url(Endpoint::new(config, url, settings)?),
            _ => return Err(InvalidTarget::NotATarget { kind }),
        };
        Ok(Self {
            address: address.clone(),
            service,
        })
    }

    /// The name of the target, as [`TargetAddress::name`].
    #[must_use]
    pub fn name(&self) -> &str {
        self.address.name()
    }

    /// The kind of the target.
    #[must_use]
    pub fn kind(&self) -> AddressKind {
        self.address.kind()
    }
}

impl Downstream<TransactWriteItem> for ServiceTarget {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        match &self.service {
            TargetService::Queue(queue) => queue.accept(event).await,
            TargetService::Function(function) => function.accept(event).await,
            TargetService::StateMachine(machine) => machine.accept(event).await,
            TargetService::EventBus(bus) => bus.accept(event).await,
            TargetService::Topic(topic) => topic.accept(event).await,
            TargetService::Url(endpoint) => endpoint.accept(event).await,
        }
    }
}
