//! The downstream that this repository deploys: delivers each notification to all targets that take its type.

mod breaker;
mod pace;
mod pattern;

use std::{
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
};

use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};
use tokio::time::Instant;

pub use self::{
    breaker::{Breaker, Failure, OPENING_FAILURES, Rejection},
    pace::Pace,
    pattern::{InvalidPattern, TypePattern},
};
use crate::settled::{MAX_REMEMBERED, Memory, NotificationKey};

/// The error of an event that no target takes. It must never be settled: a wrong pattern would drop a day of notifications.
const NO_TARGET: &str = "no target takes this type";

/// One target, and which notifications it takes.
pub struct Route<D> {
    name: String,
    types: Vec<TypePattern>,
    target: D,
    breaker: Mutex<Breaker>,
    pace: Pace,
}

impl<D> Route<D> {
    /// Delivers notifications of these types to `target`; of every type if there are no patterns. `name` is for errors.
    /// `max_per_second` limits the calls of this process.
    pub fn new(
        name: impl Into<String>,
        types: Vec<TypePattern>,
        target: D,
        max_per_second: Option<NonZeroU32>,
    ) -> Self {
        Self {
            name: name.into(),
            types,
            target,
            breaker: Mutex::default(),
            pace: Pace::new(max_per_second),
        }
    }

    fn takes(&self, event: &NotificationEvent) -> bool {
        self.types.is_empty()
            || self
                .types
                .iter()
                .any(|pattern| pattern.matches(&event.kind))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the target, unless its circuit breaker is open.
    async fn deliver<W>(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError>
    where
        W: Send,
        D: Downstream<W>,
    {
        let pause = self.breaker().remaining_pause(Instant::now());
        if let Some(pause) = pause {
            return Err(Rejection::Wait(pause).into());
        }
        self.pace.wait().await;
        // The breaker may have opened in the meantime.
        self.breaker().admit(&event.subject, Instant::now())?;
        let call = Call {
            route: self,
            event,
            is_recorded: false,
        };
        let result = self.target.accept(event).await;
        call.record(&result);
        result
    }
}

impl From<Rejection> for DownstreamError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Wait(pause) => Self::retry_later("the circuit breaker is open", Some(pause)),
            // Not busy, so that the batch goes on and another notification is tried.
            Rejection::OthersFirst => Self::new(
                "it failed before, so others are tried first while the circuit breaker is open",
            ),
        }
    }
}

/// A call whose result the breaker must know. If it is dropped without one, because the time was up or the target panicked, it
/// has failed.
struct Call<'a, D> {
    route: &'a Route<D>,
    event: &'a NotificationEvent,
    is_recorded: bool,
}

impl<D> Call<'_, D> {
    fn record<W>(mut self, result: &Result<Effect<W>, DownstreamError>) {
        self.is_recorded = true;
        let now = Instant::now();
        match result {
            Ok(_) => self.route.breaker().succeed(),
            Err(error) => {
                let failure = Failure {
                    notification: &self.event.subject,
                    is_busy: error.is_busy(),
                    retry_after: error.retry_after(),
                };
                self.route.breaker().fail(&failure, now);
            }
        }
    }
}

impl<D> Drop for Call<'_, D> {
    fn drop(&mut self) {
        if !self.is_recorded {
            let failure = Failure {
                notification: &self.event.subject,
                is_busy: false,
                retry_after: None,
            };
            self.route.breaker().fail(&failure, Instant::now());
        }
    }
}

/// Delivers to several targets. A notification is DONE when all targets that take its type have accepted it, and REFUSED as
/// soon as one refuses.
///
/// The targets are called in order, so put those first that can refuse: what an earlier one has accepted is not undone. A
/// target that has accepted a notification is not called again for it by this process, unless it returns writes, which are
/// needed again.
pub struct Targets<D> {
    routes: Vec<Route<D>>,
    accepted: Memory<(usize, NotificationKey)>,
}

impl<D> Targets<D> {
    /// Delivers to these targets, in this order.
    #[must_use]
    pub fn new(routes: Vec<Route<D>>) -> Self {
        Self {
            routes,
            accepted: Memory::new(MAX_REMEMBERED),
        }
    }
}

impl<W: Send, D: Downstream<W>> Downstream<W> for Targets<D> {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        let mut all_writes = Vec::new();
        let mut is_taken = false;
        for (number, route) in self.routes.iter().enumerate() {
            if !route.takes(event) {
                continue;
            }
            is_taken = true;
            let key = (number, NotificationKey::from(event));
            if self.accepted.contains(&key) {
                continue;
            }
            let effect = route.deliver(event).await;
            match effect.map_err(|error| error.of_target(&route.name))? {
                Effect::Happened => self.accepted.insert(key),
                Effect::CommitWith(writes) => all_writes.extend(writes),
                Effect::Refused(reason) => return Ok(Effect::Refused(reason)),
            }
        }
        if !is_taken {
            return Err(DownstreamError::new(NO_TARGET));
        }
        Ok(if all_writes.is_empty() {
            Effect::Happened
        } else {
            Effect::CommitWith(all_writes)
        })
    }

    fn checks_state(&self) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|route| route.target.checks_state())
    }
}

#[cfg(test)]
mod tests;
