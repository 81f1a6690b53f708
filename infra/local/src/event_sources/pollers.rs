//! The running pollers of a stack, and which of them poll.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onewrite_event_sources::sqs::Input as SqsInput;
use onewrite_event_sources::stream::Input as StreamInput;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// All pollers of a stack. Clones are the same pollers.
#[derive(Clone, Debug, Default)]
pub(super) struct Pollers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    pollers: Vec<PollerHandle>,
    /// Whether all pollers are disabled, whatever the states of their mappings.
    pub(super) is_disabled: bool,
    /// Whether changes of mappings are ignored.
    pub(super) is_held: bool,
}

/// Lets the pollers follow their mappings again when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(pub(super) Pollers);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.lock().is_held = false;
    }
}

impl Pollers {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn contains(&self, uuid: &str) -> bool {
        self.lock().pollers.iter().any(|poller| poller.uuid == uuid)
    }

    pub(super) fn push(&self, poller: PollerHandle) {
        self.lock().pollers.push(poller);
    }

    /// Stops the pollers of other mappings.
    pub(super) fn retain(&self, mappings: &BTreeMap<String, bool>) {
        let mut state = self.lock();
        state
            .pollers
            .retain(|poller| mappings.contains_key(&poller.uuid));
    }

    /// Polls for those mappings that are enabled.
    pub(super) fn switch(&self, mappings: &BTreeMap<String, bool>) {
        let mut state = self.lock();
        for poller in &mut state.pollers {
            if let Some(is_enabled) = mappings.get(&poller.uuid) {
                poller.is_mapping_enabled = *is_enabled;
            }
        }
        state.apply();
    }

    pub(super) fn disable_all(&self, is_disabled: bool) {
        let mut state = self.lock();
        state.is_disabled = is_disabled;
        state.apply();
    }

    pub(super) fn is_polling(&self, function: &str) -> bool {
        let state = self.lock();
        let mut own = state
            .pollers
            .iter()
            .filter(|poller| poller.function == function);
        own.any(|poller| poller.is_polling)
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.pollers.iter().all(|poller| *poller.is_idle.borrow())
    }
}

impl State {
    fn apply(&mut self) {
        for poller in &mut self.pollers {
            poller.poll(poller.is_mapping_enabled && !self.is_disabled);
        }
    }
}

/// A running poller.
#[derive(Debug)]
pub(super) struct PollerHandle {
    /// The id of the mapping.
    uuid: String,
    /// The name of the function that the mapping invokes.
    function: String,
    is_mapping_enabled: bool,
    /// Whether the poller was told to poll.
    is_polling: bool,
    is_idle: watch::Receiver<bool>,
    commands: Commands,
    task: JoinHandle<()>,
}

#[derive(Debug)]
pub(super) enum Commands {
    Sqs(mpsc::UnboundedSender<SqsInput>),
    Stream(mpsc::UnboundedSender<StreamInput>),
}

impl PollerHandle {
    /// A poller that does not poll yet.
    pub(super) fn new(
        uuid: String,
        function: String,
        is_idle: watch::Receiver<bool>,
        commands: Commands,
        task: JoinHandle<()>,
    ) -> Self {
        Self {
            uuid,
            function,
            is_mapping_enabled: false,
            is_polling: false,
            is_idle,
            commands,
            task,
        }
    }

    fn poll(&mut self, is_polling: bool) {
        if self.is_polling == is_polling {
            return;
        }
        self.is_polling = is_polling;
        let (sqs, stream) = if is_polling {
            (SqsInput::Enable, StreamInput::Enable)
        } else {
            (SqsInput::Disable, StreamInput::Disable)
        };
        // A send fails only if the poller has ended, which happens only when this value is dropped.
        match &self.commands {
            Commands::Sqs(commands) => drop(commands.send(sqs)),
            Commands::Stream(commands) => drop(commands.send(stream)),
        }
    }
}

impl Drop for PollerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poller(uuid: &str) -> (PollerHandle, mpsc::UnboundedReceiver<StreamInput>) {
        let (commands, received) = mpsc::unbounded_channel();
        let (_, is_idle) = watch::channel(true);
        let task = tokio::spawn(std::future::pending());
        let commands = Commands::Stream(commands);
        (
            PollerHandle::new(
                uuid.to_owned(),
                format!("of {uuid}"),
                is_idle,
                commands,
                task,
            ),
            received,
        )
    }

    fn states(states: &[(&str, bool)]) -> BTreeMap<String, bool> {
        let states = states.iter();
        states
            .map(|(uuid, is_enabled)| ((*uuid).to_owned(), *is_enabled))
            .collect()
    }

    /// What the poller was told, as whether it polls.
    fn told(received: &mut mpsc::UnboundedReceiver<StreamInput>) -> Vec<bool> {
        let inputs = std::iter::from_fn(|| received.try_recv().ok());
        inputs
            .map(|input| matches!(input, StreamInput::Enable))
            .collect()
    }

    #[tokio::test]
    async fn a_poller_polls_while_its_mapping_and_all_pollers_are_enabled() {
        let pollers = Pollers::default();
        let ((a, mut of_a), (b, mut of_b)) = (poller("a"), poller("b"));
        pollers.push(a);
        pollers.push(b);
        for _repeated in 0..2 {
            pollers.switch(&states(&[("a", true), ("b", false), ("other", true)]));
        }
        assert_eq!((told(&mut of_a), told(&mut of_b)), (vec![true], vec![]));
        pollers.disable_all(true);
        pollers.switch(&states(&[("a", true), ("b", true)]));
        assert_eq!((told(&mut of_a), told(&mut of_b)), (vec![false], vec![]));
        pollers.disable_all(false);
        assert_eq!((told(&mut of_a), told(&mut of_b)), (vec![true], vec![true]));
        assert!(pollers.is_polling("of a"));
        pollers.switch(&states(&[("a", false)]));
        assert!(!pollers.is_polling("of a") && pollers.is_polling("of b"));
        assert_eq!((told(&mut of_a), told(&mut of_b)), (vec![false], vec![]));
        pollers.retain(&states(&[("b", true)]));
        assert!(!pollers.contains("a") && pollers.contains("b"));
        assert!(of_a.is_closed(), "its poller has ended");
    }
}
