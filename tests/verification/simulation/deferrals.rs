//! The queue as `ingest` sees it. The world passes the requests on to its queue.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use onewrite::error::ServiceError;
use onewrite::queue::{Deferral, DeferralResult, DelayedDelivery};
use onewrite_event_sources::Millis;

use crate::clock;
use crate::fault_plan::{FaultKind, FaultPlan};

/// Worlds shorten the waits by this factor, because their fault period lasts a minute. The shortened waits add up to more than six
/// visibility timeouts, so that a message that is deferred without need stays too long.
const SHORTENED: u32 = 120;

#[derive(Clone)]
pub(crate) struct Deferrals {
    fault_plan: FaultPlan,
    state: Arc<Mutex<State>>,
}

struct State {
    requests: Vec<Request>,
    shortened: u32,
    is_reachable: bool,
}

/// A request to hide a message.
pub(crate) struct Request {
    pub(crate) receipt_handle: String,
    pub(crate) until: Millis,
}

impl Deferrals {
    pub(crate) fn new(fault_plan: FaultPlan) -> Self {
        let state = State {
            requests: Vec::new(),
            shortened: SHORTENED,
            is_reachable: true,
        };
        Self {
            fault_plan,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Removes the requests since the last call.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }

    fn request(&self, deferral: &Deferral) {
        let mut state = self.lock();
        let wait = Millis::try_from((deferral.wait / state.shortened).as_millis()).unwrap();
        state.requests.push(Request {
            receipt_handle: deferral.receipt_handle.clone(),
            until: clock::now() + wait,
        });
    }
}

/// Only the outage needs these.
#[cfg(test)]
impl Deferrals {
    pub(crate) fn use_whole_waits(&self) {
        self.lock().shortened = 1;
    }

    pub(crate) fn make_unreachable(&self) {
        self.lock().is_reachable = false;
    }
}

impl DelayedDelivery for Deferrals {
    async fn defer(&self, deferrals: &[Deferral]) -> Result<Vec<DeferralResult>, ServiceError> {
        let lost = || Err(ServiceError::unknown("timeout"));
        if !self.lock().is_reachable {
            return lost();
        }
        let fault = self
            .fault_plan
            .occurs(FaultKind::QueueDeferralFails)
            .then(|| self.fault_plan.draw(FaultKind::QueueDeferralFails, 4));
        match fault {
            Some(0) => return lost(),
            Some(1) => pending().await,
            Some(2) => {
                deferrals.iter().for_each(|deferral| self.request(deferral));
                return lost();
            }
            _ => {}
        }
        let results = deferrals.iter().enumerate().map(|(place, deferral)| {
            if fault.is_some() && place.is_multiple_of(2) {
                let code = "InternalError".to_owned();
                return DeferralResult::Failed { code };
            }
            self.request(deferral);
            DeferralResult::Deferred
        });
        Ok(results.collect())
    }
}
