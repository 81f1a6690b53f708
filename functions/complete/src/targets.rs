//! The downstream that this repository deploys: delivers each notification to all targets that take its type.

mod breaker;
mod pace;
mod pattern;

use std::{
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};
use tokio::time::{Instant, timeout_at};

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

    /// Why the target must not be called now, for any notification.
    fn postponement(&self) -> Option<DownstreamError> {
        let rejection = self.breaker().rejection(Instant::now())?;
        Some(DownstreamError::from(rejection).of_target(&self.name))
    }

    /// Calls the target, unless its circuit breaker is open. No call begins after `last_start`.
    async fn deliver<W>(
        &self,
        event: &NotificationEvent,
        last_start: Option<Instant>,
    ) -> Result<Effect<W>, DownstreamError>
    where
        W: Send,
        D: Downstream<W>,
    {
        if let Some(last_start) = last_start {
            let turn = timeout_at(last_start, self.pace.wait());
            turn.await.map_err(|_| too_late())?;
            // A turn that is there at once counts as in time, however late it is.
            if last_start <= Instant::now() {
                return Err(too_late());
            }
        } else {
            self.pace.wait().await;
        }
        // The target may have become busy in the meantime.
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
            Rejection::Wait(pause) => Self::postponed("the circuit breaker is open", Some(pause)),
            Rejection::Busy => Self::postponed("the target was busy in this batch", None),
            Rejection::OthersFirst => Self::postponed(
                "it failed before, so others are tried first while the circuit breaker is open",
                None,
            ),
        }
    }
}

fn too_late() -> DownstreamError {
    DownstreamError::postponed("too little time is left for a call", None)
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
///
/// A target that is busy is not called again in the same batch. Notifications that it must still accept are postponed without a
/// call of any target; the others are delivered.
pub struct Targets<D> {
    routes: Vec<Route<D>>,
    accepted: Memory<(usize, NotificationKey)>,
    /// The last moment at which a call may begin.
    last_start: Mutex<Option<Instant>>,
}

impl<D> Targets<D> {
    /// Delivers to these targets, in this order.
    #[must_use]
    pub fn new(routes: Vec<Route<D>>) -> Self {
        Self {
            routes,
            accepted: Memory::new(MAX_REMEMBERED),
            last_start: Mutex::default(),
        }
    }

    /// The targets that take a notification, with the keys by which their acceptance is remembered.
    fn routes_of(
        &self,
        event: &NotificationEvent,
    ) -> impl Iterator<Item = ((usize, NotificationKey), &Route<D>)> {
        let routes = self.routes.iter().enumerate();
        let taking = routes.filter(|(_, route)| route.takes(event));
        taking.map(move |(number, route)| ((number, NotificationKey::from(event)), route))
    }

    /// The targets that have not yet accepted a notification.
    fn missing(
        &self,
        event: &NotificationEvent,
    ) -> impl Iterator<Item = ((usize, NotificationKey), &Route<D>)> {
        let routes = self.routes_of(event);
        routes.filter(|(key, _)| !self.accepted.contains(key))
    }

    fn last_start(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Send, D: Downstream<W>> Downstream<W> for Targets<D> {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        if self.routes_of(event).next().is_none() {
            return Err(DownstreamError::permanent(NO_TARGET));
        }
        // Before the first call: it would be in vain if a later target cannot be called, and another process would repeat it.
        if let Some(error) = Downstream::<W>::postponement(self, event) {
            return Err(error);
        }
        let last_start = *self.last_start();
        let mut all_writes = Vec::new();
        for (key, route) in self.missing(event) {
            let effect = route.deliver(event, last_start).await;
            match effect.map_err(|error| error.of_target(&route.name))? {
                Effect::Happened => self.accepted.insert(key),
                Effect::CommitWith(writes) => all_writes.extend(writes),
                Effect::Refused(reason) => return Ok(Effect::Refused(reason)),
            }
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

    fn begin_batch(&self, time: Duration) {
        *self.last_start() = Some(Instant::now() + time);
        for route in &self.routes {
            route.breaker().begin_batch();
        }
    }

    fn postponement(&self, event: &NotificationEvent) -> Option<DownstreamError> {
        self.missing(event)
            .find_map(|(_, route)| route.postponement())
    }
}

#[cfg(test)]
mod tests;
