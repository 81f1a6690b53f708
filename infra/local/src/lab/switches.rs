//! The fault switches, for both designs: what is armed, and what has happened. Without I/O.
//!
//! onewrite and the double write have the same places at which a fault can happen: the write of a new item, the send, and the
//! write of DONE. Each fault is armed for both, and each design uses its own count up, so both meet the same faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onewrite_console::lab::Fault;
use onewrite_event_sources::choices::Mixer;

/// The designs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Design {
    Onewrite,
    DoubleWrite,
}

/// A call at which a fault can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The write of a new item.
    Store,
    /// The send downstream: `PutRecords` of `forward`.
    Send,
    /// The write of DONE after the effect.
    Settle,
}

impl Place {
    /// The faults of this call. If several are armed, the first one happens.
    fn faults(self) -> &'static [Fault] {
        match self {
            Self::Store => &[
                Fault::KillIngestBeforeWrite,
                Fault::KillIngestAfterWrite,
                Fault::ThrottleTable,
            ],
            Self::Send => &[Fault::CutKinesis, Fault::FailEntries],
            Self::Settle => &[Fault::KillCompleteAfterEffect, Fault::ThrottleTable],
        }
    }
}

/// The switches. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Switches(Arc<Mutex<BTreeMap<Design, Side>>>);

/// The switches of one design.
#[derive(Debug, Default)]
struct Side {
    armed: BTreeMap<Fault, Armed>,
    happened: BTreeMap<Fault, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    /// Calls without the fault before the first one with it.
    skip: u32,
    left: u32,
}

impl Switches {
    /// Arms every fault once or twice, among the first calls of its place. The same seed gives the same plan.
    #[must_use]
    pub fn planned(seed: u64) -> Self {
        let (switches, mut mixer) = (Self::default(), Mixer::new(seed));
        let mut below = |bound: u64| u32::try_from(mixer.next() % bound).unwrap_or(0);
        for fault in Fault::ALL {
            // `forward` publishes many events with one call, so there are few calls to choose from.
            let calls = match fault {
                Fault::CutKinesis | Fault::FailEntries => 2,
                _ => 12,
            };
            let armed = Armed {
                skip: below(calls),
                left: 1 + below(2),
            };
            switches.arm(fault, armed);
        }
        switches
    }

    /// Arms a fault for the next `count` calls, or disarms it with 0.
    pub fn set(&self, fault: Fault, count: u32) {
        let armed = Armed {
            skip: 0,
            left: count,
        };
        self.arm(fault, armed);
    }

    fn arm(&self, fault: Fault, armed: Armed) {
        let mut sides = self.lock();
        for design in [Design::Onewrite, Design::DoubleWrite] {
            let side = sides.entry(design).or_default();
            if armed.left == 0 {
                side.armed.remove(&fault);
            } else {
                side.armed.insert(fault, armed);
            }
        }
    }

    /// The fault of a call at this place, if one is armed. Counts it.
    pub(super) fn at(&self, design: Design, place: Place) -> Option<Fault> {
        let mut sides = self.lock();
        let side = sides.entry(design).or_default();
        let mut chosen = None;
        for fault in place.faults() {
            match side.armed.get_mut(fault) {
                Some(armed) if armed.skip > 0 => armed.skip -= 1,
                Some(armed) if chosen.is_none() => {
                    armed.left -= 1;
                    chosen = Some(*fault);
                }
                _ => {}
            }
        }
        side.armed.retain(|_, armed| armed.left > 0);
        if let Some(fault) = chosen {
            *side.happened.entry(fault).or_default() += 1;
        }
        chosen
    }

    /// The armed faults of a design, and how many are left.
    #[must_use]
    pub fn left(&self, design: Design) -> BTreeMap<Fault, u32> {
        let sides = self.lock();
        let armed = sides.get(&design).into_iter().flat_map(|side| &side.armed);
        armed.map(|(fault, armed)| (*fault, armed.left)).collect()
    }

    /// How often each fault has happened to a design.
    #[must_use]
    pub fn happened(&self, design: Design) -> BTreeMap<Fault, u32> {
        let sides = self.lock();
        sides
            .get(&design)
            .map_or_else(BTreeMap::new, |side| side.happened.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Design, Side>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_it_is_armed_to_each_design() {
        let switches = Switches::default();
        switches.set(Fault::CutKinesis, 2);
        for design in [Design::Onewrite, Design::DoubleWrite] {
            assert_eq!(switches.at(design, Place::Store), None);
            let calls = [0; 4].map(|_| switches.at(design, Place::Send));
            let cut = Some(Fault::CutKinesis);
            assert_eq!(calls, [cut, cut, None, None]);
            assert_eq!(
                switches.happened(design),
                BTreeMap::from([(Fault::CutKinesis, 2)])
            );
            assert!(switches.left(design).is_empty());
        }
    }

    #[test]
    fn a_fault_can_be_disarmed() {
        let switches = Switches::default();
        switches.set(Fault::ThrottleTable, 3);
        let left = switches.left(Design::Onewrite);
        assert_eq!(left, BTreeMap::from([(Fault::ThrottleTable, 3)]));
        switches.set(Fault::ThrottleTable, 0);
        for place in [Place::Store, Place::Settle] {
            assert_eq!(switches.at(Design::Onewrite, place), None);
        }
    }

    #[test]
    fn one_call_has_one_fault() {
        let switches = Switches::default();
        for fault in Fault::ALL {
            switches.set(fault, 1);
        }
        let faults = [0; 4].map(|_| switches.at(Design::DoubleWrite, Place::Store));
        let expected = [
            Some(Fault::KillIngestBeforeWrite),
            Some(Fault::KillIngestAfterWrite),
            Some(Fault::ThrottleTable),
            None,
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_plan_has_every_fault_and_depends_on_the_seed_alone() {
        let calls = |seed| {
            let switches = Switches::planned(seed);
            let places = [Place::Store, Place::Send, Place::Settle].into_iter();
            let calls = places.flat_map(|place| std::iter::repeat_n(place, 20));
            let calls: Vec<_> = calls
                .map(|place| switches.at(Design::Onewrite, place))
                .collect();
            assert_eq!(switches.happened(Design::Onewrite).len(), Fault::ALL.len());
            calls
        };
        assert_eq!(calls(7), calls(7));
        assert_ne!(calls(7), calls(8));
    }
}
